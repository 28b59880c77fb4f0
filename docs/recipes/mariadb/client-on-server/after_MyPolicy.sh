#!/bin/bash
# after: releases the lock whatever happened. Its argument is 1 when before succeeded: then it first proves that the
# lock was held until now, and fails when it was not.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/mariadb.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
set -a # the settings are handed on in the environment
# shellcheck source=/dev/null
. "$folder/mariadb.conf"

exec bash "$folder/mariadb-session.sh" after "$@"
