#!/bin/bash
# shellcheck disable=SC2154 # the settings come from postgresql-scripts.conf
# after: ends backup mode whatever happened, and prints the label. Its argument is 1 when before succeeded: then it proves
# that what before did held until now, and fails when it did not.
set -u
folder=$(dirname -- "$0")
[[ -r $folder/postgresql-scripts.conf ]] || folder=$PWD # run from a copy elsewhere: the working folder is the scripts' own
# shellcheck source=/dev/null
. "$folder/postgresql-ssh.sh"

# The shared connection may be dead or hang: then a new one is made. A second after does no harm.
if [[ ${shared[1]} != ControlPath=none ]] && ssh "${options[@]}" "${shared[@]}" -O check "$host" 2>/dev/null; then
  far_side after "$@"
  code=$?
  ((code == 3)) || exit "$code"
fi
shared=(-o ControlPath=none)
far_side after "$@"
