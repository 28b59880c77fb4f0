#!/bin/bash
# shellcheck disable=SC2154 # the settings come from fsfreeze.conf
# complete: says how long the file systems were frozen. A freeze leaves nothing that would have to be cleaned up.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/fsfreeze.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
# shellcheck source=/dev/null
. "$folder/fsfreeze-ssh.sh"

far_side complete "$@"
