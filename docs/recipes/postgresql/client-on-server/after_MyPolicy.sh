#!/bin/bash
# after: ends backup mode whatever happened, and prints the label. Its argument is 1 when before succeeded: then it proves
# that what before did held until now, and fails when it did not.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/postgresql-scripts.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
set -a # the settings are handed on in the environment
# shellcheck source=/dev/null
. "$folder/postgresql-scripts.conf"

exec bash "$folder/postgresql-session.sh" after "$@"
