#!/bin/bash
# before: locks the commits of the database. 0 only when they are locked; otherwise nothing is.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/mariadb.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
set -a # the settings are handed on in the environment
# shellcheck source=/dev/null
. "$folder/mariadb.conf"

exec bash "$folder/mariadb-session.sh" before
