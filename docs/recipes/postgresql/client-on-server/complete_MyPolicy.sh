#!/bin/bash
# complete: when its argument is 1, sees that the archive has what the label needs, and cleans the archive up if told to.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/postgresql-scripts.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
set -a # the settings are handed on in the environment
# shellcheck source=/dev/null
. "$folder/postgresql-scripts.conf"

exec bash "$folder/postgresql-session.sh" complete "$@"
