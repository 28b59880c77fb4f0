#!/bin/bash
# shellcheck disable=SC2154 # the settings come from fsfreeze.conf
# before: freezes the file systems, with the auto-thaw armed first. 0 only when all are frozen; otherwise none is.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/fsfreeze.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
# shellcheck source=/dev/null
. "$folder/fsfreeze-ssh.sh"

if ! open_connection; then
  printf 'fsfreeze: no connection to %s: nothing is frozen\n' "$host" >&2
  exit 1
fi
far_side before
