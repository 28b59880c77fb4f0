#!/bin/bash
# after: thaws the application whatever happened. Its argument is 1 when before succeeded: then it first proves that it
# was frozen until now, and fails when it was not.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/application.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
exec bash "$folder/window.sh" after "$@"
