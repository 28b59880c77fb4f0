#!/bin/bash
# complete: says for the run's page what the copy holds. Redis keeps no log that a backup would make superfluous.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/n2w-redis.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
# shellcheck source=/dev/null
. "$folder/redis-run.sh"

session complete "$@"
