#!/bin/bash
# shellcheck disable=SC2154 # the settings come from fsfreeze.conf
# after: thaws the file systems whatever happened. Its argument is 1 when before succeeded: then it first proves that they
# were frozen until now, and fails when they were not.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/fsfreeze.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
set -a # the settings are handed on in the environment
# shellcheck source=/dev/null
. "$folder/fsfreeze.conf"

exec bash "$folder/fsfreeze-mounts.sh" after "$@" -- "${mounts[@]}"
