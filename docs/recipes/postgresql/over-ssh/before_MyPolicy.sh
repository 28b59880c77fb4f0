#!/bin/bash
# shellcheck disable=SC2154 # the settings come from postgresql-scripts.conf
# before: a checkpoint on the instance, or with method=backup its backup mode. 0 only when that is reached; otherwise
# nothing is held.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/postgresql-scripts.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
# shellcheck source=/dev/null
. "$folder/postgresql-ssh.sh"

if ! open_connection; then
  printf 'postgresql: no connection to %s: nothing is held\n' "$host" >&2
  exit 1
fi
far_side before
