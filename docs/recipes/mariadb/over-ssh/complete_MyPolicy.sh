#!/bin/bash
# complete: when its argument is 1, purges the binary logs older than the position that before recorded while locked.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/mariadb.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
# shellcheck source=/dev/null
. "$folder/mariadb-ssh.sh"

far_side complete "$@"
