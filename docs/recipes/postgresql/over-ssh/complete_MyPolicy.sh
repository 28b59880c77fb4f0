#!/bin/bash
# complete: when its argument is 1, sees that the archive has what the label needs, and cleans the archive up if told to.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/postgresql-scripts.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
# shellcheck source=/dev/null
. "$folder/postgresql-ssh.sh"

far_side complete "$@"
