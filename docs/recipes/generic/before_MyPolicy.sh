#!/bin/bash
# before: freezes the application. 0 only when it is frozen; otherwise it is not.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/application.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
exec bash "$folder/window.sh" before "$@"
