#!/bin/bash
# complete: when its argument is 1, purges the binary logs older than the position that before recorded while locked.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/mariadb.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
set -a # the settings are handed on in the environment
# shellcheck source=/dev/null
. "$folder/mariadb.conf"

exec bash "$folder/mariadb-session.sh" complete "$@"
