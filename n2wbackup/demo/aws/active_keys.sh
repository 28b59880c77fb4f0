#!/bin/sh
# What sshd of a simulated instance asks (AuthorizedKeysCommand): the keys that EC2 Instance Connect has handed over
# for a user and that are still valid. FOLDER USER: the instance's folder, and who logs in.
set -eu

[ $# -eq 2 ] || exit 2
case $2 in
*/* | .*) exit 2 ;;
esac
file=$1/active-keys/$2
[ -f "$file" ] || exit 0
now=$(date +%s.%N)
awk -v now="$now" '$1 + 0 > now + 0 { print $2, $3 }' "$file"
