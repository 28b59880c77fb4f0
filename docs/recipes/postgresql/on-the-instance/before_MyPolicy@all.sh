#!/bin/bash
# shellcheck disable=SC2034,SC2154,SC2317,SC2329 # settings and functions of one part are used by another
# before: a checkpoint, or with method=backup the backup mode. 0 only when that is reached; otherwise nothing is held.
# It runs on the instance, and one file is carried there: its settings, and all that works with them, are in it.

# shellcheck source=docs/recipes/postgresql/on-the-instance/postgresql-scripts.conf
. ./postgresql-scripts.conf

set -- before "$@"

# shellcheck source=docs/recipes/postgresql/postgresql-session.sh
. ./postgresql-session.sh
