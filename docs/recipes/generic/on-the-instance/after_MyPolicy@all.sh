#!/bin/bash
# shellcheck disable=SC2034,SC2154,SC2317,SC2329 # settings and functions of one part are used by another
# after: thaws the application whatever happened. Its argument is 1 when before succeeded: then it first proves that it
# was frozen until now, and fails when it was not.
# It runs on the instance, and one file is carried there: its settings, and all that works with them, are in it.

# shellcheck source=docs/recipes/generic/on-the-instance/application.conf
. ./application.conf

# It also starts itself, as its own auto-thaw.
[[ ${1:-} == auto-thaw ]] || set -- after "$@"

# shellcheck source=docs/recipes/generic/application.sh
. ./application.sh

# shellcheck source=docs/recipes/generic/window.sh
. ./window.sh
