#!/bin/bash
# shellcheck disable=SC2034,SC2154,SC2317,SC2329 # settings and functions of one part are used by another
# before: freezes the file systems, with the auto-thaw armed first. 0 only when all are frozen; otherwise none is.
# It runs on the instance, and one file is carried there: its settings, and all that works with them, are in it.

# shellcheck source=docs/recipes/fsfreeze/on-the-instance/fsfreeze.conf
. ./fsfreeze.conf

set -- before "$@" -- "${mounts[@]}"

# shellcheck source=docs/recipes/fsfreeze/fsfreeze-hold.sh
. ./fsfreeze-hold.sh

# shellcheck source=docs/recipes/fsfreeze/fsfreeze-mounts.sh
. ./fsfreeze-mounts.sh
