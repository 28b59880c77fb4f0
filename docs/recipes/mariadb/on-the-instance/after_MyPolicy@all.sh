#!/bin/bash
# shellcheck disable=SC2034,SC2154,SC2317,SC2329 # settings and functions of one part are used by another
# after: releases the lock whatever happened. Its argument is 1 when before succeeded: then it first proves that the
# lock was held until now, and fails when it was not.
# It runs on the instance, and one file is carried there: its settings, and all that works with them, are in it.

# shellcheck source=docs/recipes/mariadb/on-the-instance/mariadb.conf
. ./mariadb.conf

set -- after "$@"

# shellcheck source=docs/recipes/mariadb/mariadb-session.sh
. ./mariadb-session.sh
