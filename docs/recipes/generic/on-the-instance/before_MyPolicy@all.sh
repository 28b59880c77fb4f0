#!/bin/bash
# shellcheck disable=SC2034,SC2154,SC2317,SC2329 # settings and functions of one part are used by another
# before: freezes the application. 0 only when it is frozen; otherwise it is not.
# It runs on the instance, and one file is carried there: its settings, and all that works with them, are in it.

# shellcheck source=docs/recipes/generic/on-the-instance/application.conf
. ./application.conf

# It also starts itself, as its own auto-thaw.
[[ ${1:-} == auto-thaw ]] || set -- before "$@"

# shellcheck source=docs/recipes/generic/application.sh
. ./application.sh

# shellcheck source=docs/recipes/generic/window.sh
. ./window.sh
