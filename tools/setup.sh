#!/usr/bin/env bash
# Makes .venv with the pinned packages that the server needs; `setup.sh all` adds those of the demo, the
# tests and the checks. Touches nothing outside .venv.
#
# uv needs seconds. If uv cannot do it (no wheel for the platform, or an index that only pip is
# configured for), plain pip installs the same files. The hashes are checked either way.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python="${PYTHON:-python3}"
venv=.venv
wanted=(requirements.txt)
[[ "${1:-}" != all ]] || wanted+=(requirements-dev.txt)
requirements=()
for file in "${wanted[@]}"; do requirements+=(-r "$file"); done

say() {
    echo "make setup: $*"
}

fail() {
    echo "make setup: $*" >&2
    exit 1
}

command -v "$python" >/dev/null ||
    fail "$python is not installed; install Python 3.11 or newer, or name one with PYTHON=…"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old; name Python 3.11 or newer with PYTHON=…"

# A broken environment (an interrupted setup, a removed interpreter) is created again.
if ! "$venv/bin/python" -c '' 2>/dev/null; then
    say "creating $venv"
    rm -rf "$venv"
    # --without-pip: Debian has ensurepip in another package (python3-venv), and the machine's pip will do.
    "$python" -m venv --without-pip "$venv"
fi

# The environment's pip; else the machine's pip, which can install into another environment.
pip=("$venv/bin/python" -m pip)
if ! "${pip[@]}" --version >/dev/null 2>&1 &&
    ! "$venv/bin/python" -m ensurepip >/dev/null 2>&1; then
    "$python" -m pip --version >/dev/null 2>&1 ||
        fail "$python has neither pip nor ensurepip; install python3-pip or python3-venv"
    pip=("$python" -m pip --python "$venv/bin/python")
fi

# uv itself is pinned with hashes, too: its block of the requirements file is enough. It stays outside the
# environment, as the server does not need it.
tools="$(mktemp -d)"
trap 'rm -rf "$tools"' EXIT

install_uv() {
    awk '/^[^ #]/ { wanted = /^uv==/ } wanted && !/^ *#/' requirements-dev.txt >"$tools/requirements.txt"
    "${pip[@]}" install --quiet --disable-pip-version-check --require-hashes --target "$tools/uv" \
        -r "$tools/requirements.txt"
}

install_with_uv() {
    # uv does not read pip's settings: pass pip's mirror and certificate bundle on.
    [[ -z "${PIP_INDEX_URL:-}" ]] || export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
    [[ -z "${PIP_CERT:-}" ]] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
    "$tools/uv/bin/uv" pip install --quiet --no-config --system-certs \
        --python "$venv/bin/python" --require-hashes --compile-bytecode "${requirements[@]}"
}

number="$(cat "${wanted[@]}" | grep -c '^[^ #].*==')"
say "installing up to $number packages of ${wanted[*]} (half a minute on a usual connection)"
if [[ -n "${WITHOUT_UV:-}" ]] || ! { install_uv && install_with_uv; }; then
    say "continuing with pip alone (slower)"
    # With its progress: this may take minutes.
    "${pip[@]}" install --disable-pip-version-check --require-hashes "${requirements[@]}"
fi
say "done, in $SECONDS s"
