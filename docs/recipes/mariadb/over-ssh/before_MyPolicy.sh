#!/bin/bash
# shellcheck disable=SC2154 # the settings come from mariadb.conf
# before: locks the commits of the database on the instance. 0 only when they are locked; otherwise nothing is.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/mariadb.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
# shellcheck source=/dev/null
. "$folder/mariadb-ssh.sh"

if ! open_connection; then
  printf 'mariadb: no connection to %s: nothing is locked\n' "$host" >&2
  exit 1
fi
far_side before
