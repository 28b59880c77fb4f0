#!/bin/bash
# shellcheck disable=SC2154 # the settings come from n2w-redis.conf
# before: 0 only when a copy of the disk, from now until after, is what the settings promise; otherwise nothing is held.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/n2w-redis.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
# shellcheck source=/dev/null
. "$folder/redis-run.sh"

if ! open_connection; then
  printf 'redis: no connection to %s: nothing is held\n' "$ssh_to" >&2
  exit 1
fi
session before
