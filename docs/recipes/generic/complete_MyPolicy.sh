#!/bin/bash
# complete: when its argument is 1, and the freeze was proven, cleans up.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/application.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
exec bash "$folder/window.sh" complete "$@"
