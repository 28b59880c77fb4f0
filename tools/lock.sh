#!/usr/bin/env bash
# Pins both requirements files again, for every platform and every Python from 3.11 on.
# The development pins are resolved under the runtime pins, so the two never disagree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# pin NAME [OPTION…]. The package index is each machine's own setting, so no index is named.
pin() {
    local name="$1"
    shift
    .venv/bin/uv pip compile "$name.in" --output-file "$name.txt" --upgrade --quiet \
        --universal --python-version 3.11 --generate-hashes \
        --no-header --no-emit-index-url --no-emit-find-links "$@"
}

pin requirements
pin requirements-dev --constraints requirements.txt
