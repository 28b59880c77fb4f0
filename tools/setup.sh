#!/usr/bin/env bash
# Makes .venv with the pinned packages of both requirements files. Touches nothing outside .venv.
#
# uv does it in seconds. Where uv cannot (no wheel for the platform, an index only pip is configured
# for) plain pip installs the very same files; the hashes are checked either way.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python="${PYTHON:-python3}"
venv=.venv
requirements=(-r requirements.txt -r requirements-dev.txt)

fail() {
    echo "make setup: $*" >&2
    exit 1
}

command -v "$python" >/dev/null ||
    fail "$python is not installed; install Python 3.11 or newer, or name one with PYTHON=…"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old; name Python 3.11 or newer with PYTHON=…"

# A half-made environment (an interrupted setup, a removed interpreter) is made anew.
if ! "$venv/bin/python" -c '' 2>/dev/null; then
    rm -rf "$venv"
    # --without-pip: Debian ships ensurepip apart (python3-venv), and pip can be given from outside.
    "$python" -m venv --without-pip "$venv"
fi

# pip of the environment; else the machine's pip, which can install into another environment.
pip=("$venv/bin/python" -m pip)
if ! "${pip[@]}" --version >/dev/null 2>&1 &&
    ! "$venv/bin/python" -m ensurepip >/dev/null 2>&1; then
    "$python" -m pip --version >/dev/null 2>&1 ||
        fail "$python has neither pip nor ensurepip; install python3-pip or python3-venv"
    pip=("$python" -m pip --python "$venv/bin/python")
fi

# uv itself is pinned with hashes like the rest: its block of the requirements file is enough.
install_uv() {
    local only_uv="$venv/requirements-uv.txt"
    awk '/^[^ #]/ { wanted = /^uv==/ } wanted && !/^ *#/' requirements-dev.txt >"$only_uv"
    "${pip[@]}" install --quiet --disable-pip-version-check --require-hashes -r "$only_uv"
}

install_with_uv() {
    # uv does not read pip's settings: pass on a mirror and a certificate bundle given to pip.
    [[ -z "${PIP_INDEX_URL:-}" ]] || export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
    [[ -z "${PIP_CERT:-}" ]] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
    "$venv/bin/python" -m uv pip install --quiet --no-config --system-certs \
        --python "$venv/bin/python" --require-hashes --compile-bytecode "${requirements[@]}"
}

if [[ -n "${WITHOUT_UV:-}" ]] || ! { install_uv && install_with_uv; }; then
    echo "make setup: going on with pip alone (slower)"
    "${pip[@]}" install --quiet --disable-pip-version-check --require-hashes "${requirements[@]}"
fi
