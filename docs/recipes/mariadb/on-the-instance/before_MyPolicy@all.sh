#!/bin/bash
# shellcheck disable=SC2034,SC2154,SC2317,SC2329 # settings and functions of one part are used by another
# before: locks the commits of the database. 0 only when they are locked; otherwise nothing is.
# It runs on the instance, and one file is carried there: its settings, and all that works with them, are in it.

# shellcheck source=docs/recipes/mariadb/on-the-instance/mariadb.conf
. ./mariadb.conf

set -- before "$@"

# shellcheck source=docs/recipes/mariadb/mariadb-session.sh
. ./mariadb-session.sh
