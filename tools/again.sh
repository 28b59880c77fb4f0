#!/usr/bin/env bash
# Runs pytest, and the few tests that failed once more, alone: tools/again.sh NAME PYTEST ARGUMENT…
#
# Guarantees: at most 3 tests that failed are run again, one at a time, while no other run of this
# checkout begins with its tests. If all of them pass, the exit code is 0, and a line "UNSTEADY
# TEST" names each. In every other case it is that of the first run: too many, a failure again, a
# test that is marked `once`, a file that cannot be read. With N2W_STRICT=1 nothing is run again.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

name="$1"
shift
# A cache of its own: what failed here is not mixed with what failed beside it, or yesterday.
cache=".pytest_cache/stages/$name"
failed="$cache/v/cache/lastfailed"
rm -rf "$cache"
mkdir -p "$cache"

exec 9>>.pytest_cache/stages/turn
flock --shared 9
"$@" -o cache_dir="$cache" 9>&-
code="$?"
flock --unlock 9
[[ "$code" == 1 && "${N2W_STRICT:-}" != 1 ]] || exit "$code"

many="$(grep -c ': true' "$failed" 2>/dev/null)"
if [[ "${many:-0}" -lt 1 || "$many" -gt 3 ]]; then
    printf '== %s: %s tests failed: none is run again\n' "$name" "${many:-0}"
    exit "$code"
fi
names="$(sed -n 's/^  "\(.*\)": true,\{0,1\}$/UNSTEADY \1/p' "$failed")"
printf '== %s: %s failed beside others; once more, alone\n' "$name" "$many"
flock --exclusive 9
if "$@" -o cache_dir="$cache" --once-more --last-failed --last-failed-no-failures none \
    -n 0 --dist no 9>&-; then
    printf '%s\n' "$names"
    exit 0
fi
printf '== %s: none of them counts as passed\n' "$name"
exit "$code"
