#!/bin/bash
# shellcheck disable=SC2034,SC2154,SC2317,SC2329 # settings and functions of one part are used by another
# after: ends backup mode whatever happened, and prints the label. Its argument is 1 when before succeeded: then it proves
# that what before did held until now, and fails when it did not.
# It runs on the instance, and one file is carried there: its settings, and all that works with them, are in it.

# shellcheck source=docs/recipes/postgresql/on-the-instance/postgresql-scripts.conf
. ./postgresql-scripts.conf

set -- after "$@"

# shellcheck source=docs/recipes/postgresql/postgresql-session.sh
. ./postgresql-session.sh
