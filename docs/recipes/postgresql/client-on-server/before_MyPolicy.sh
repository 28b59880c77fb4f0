#!/bin/bash
# before: a checkpoint, or with method=backup the backup mode. 0 only when that is reached; otherwise nothing is held.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/postgresql-scripts.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
set -a # the settings are handed on in the environment
# shellcheck source=/dev/null
. "$folder/postgresql-scripts.conf"

exec bash "$folder/postgresql-session.sh" before
