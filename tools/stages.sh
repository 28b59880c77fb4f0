#!/usr/bin/env bash
# Runs make targets one after the other: tools/stages.sh TARGET…
#
# Guarantees: every stage runs, whatever became of the others; the last lines tell of each how it
# ended, what it took of the processors, and pytest's closing line; then, which tests passed only when
# they were run once more (tools/again.sh). Exit code: 1 if any stage failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

log="$(mktemp -t n2wbackup-stage-XXXXXX)"
trap 'rm -f "$log"' EXIT
cores="$(nproc)"
summary=()
unsteady=()
failed=()

# own_ticks: what the processors did for all that has ended here, in hundredths of a second.
own_ticks() {
    local line fields
    line="$(</proc/$$/stat)"
    read -ra fields <<<"${line##*) }"
    echo "$((fields[13] + fields[14]))"
}

# busy_ticks: what they did for anybody, since the machine started.
busy_ticks() {
    local fields # name, user, nice, system, idle, waiting for disks, interrupts, soft interrupts
    read -ra fields </proc/stat
    echo "$((fields[1] + fields[2] + fields[3] + fields[6] + fields[7]))"
}

# stage NAME COMMAND…: runs it, and keeps how it ended for the summary.
stage() {
    local name="$1" started="$SECONDS" code closing own busy
    own="$(own_ticks)" busy="$(busy_ticks)"
    shift
    printf '\n== %s\n' "$name"
    "$@" 2>&1 | tee "$log"
    code="${PIPESTATUS[0]}"
    own="$((($(own_ticks) - own) / 100))" busy="$((($(busy_ticks) - busy) / 100))"
    summary+=("$(printf '== %s: exit code %d after %d s; processors: %d s for it, %d s in all of %d' \
        "$name" "$code" "$((SECONDS - started))" "$own" "$busy" "$(((SECONDS - started) * cores))")")
    printf '%s\n' "${summary[-1]}"
    [[ "$code" == 0 ]] || failed+=("$name")
    # What failed or was left out, too: the lines above are far away by then.
    while IFS= read -r closing; do
        summary+=("$closing")
    done < <(grep -E '^(FAILED|ERROR|SKIPPED) |^=+ .*(passed|failed|error|no tests ran).* =+$' "$log")
    while IFS= read -r closing; do
        unsteady+=("$name: ${closing#UNSTEADY }")
    done < <(grep -E '^UNSTEADY ' "$log")
}

if [[ $# == 0 ]]; then
    printf 'Name the make targets to run: tools/stages.sh TARGET…\n' >&2
    exit 2
fi

for target in "$@"; do
    stage "$target" make --no-print-directory "$target"
done

printf '\n== all stages\n'
printf '%s\n' "${summary[@]}"
if [[ ${#unsteady[@]} -gt 0 ]]; then
    printf '== unsteady: failed beside others, passed alone; find out why before it fails for good\n'
    printf '%s\n' "${unsteady[@]}"
fi
if [[ ${#failed[@]} -gt 0 ]]; then
    printf '== failed: %s\n' "${failed[*]}"
    exit 1
fi
printf '== every stage passed, %d s in all\n' "$SECONDS"
