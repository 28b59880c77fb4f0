#!/bin/bash
# after: lets the writes go whatever happened. Its argument is 1 when before succeeded: then it first proves that they were
# held until now, and fails when they were not.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/n2w-redis.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
# shellcheck source=/dev/null
. "$folder/redis-run.sh"

# The shared connection may be dead or hang: then a new one is made. A second after does no harm.
if is_open; then
  session after "$@"
  code=$?
  ((code == 3)) || exit "$code"
fi
session_afresh after "$@"
