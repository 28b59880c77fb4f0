#!/usr/bin/env bash
# Runs a command on a temporary PostgreSQL, in DATABASE_URL: tools/with-postgresql.sh COMMAND…
#
# The cluster is in a temporary folder, listens only on a unix socket there, belongs to an
# unprivileged account (PostgreSQL refuses root), and is removed when the command has ended.
# Exit code: the command's. Without PostgreSQL the command does not run: 0 and a message; 1 if CI=true.
set -euo pipefail

# Debian has the programs of each version in a folder of their own; this takes the newest.
programs="$(find /usr/lib/postgresql -path '*/bin/initdb' -printf '%h\n' 2>/dev/null |
    sort -V | tail -n 1)"
if [[ -z "$programs" ]] && command -v initdb >/dev/null; then
    programs="$(dirname "$(realpath "$(command -v initdb)")")"
fi
if [[ -z "$programs" ]]; then
    echo "PostgreSQL is not installed: its part of the suite is skipped;" \
        "install the package postgresql to run it" >&2
    [[ "${CI:-}" != true ]] || exit 1
    exit 0
fi

folder="$(mktemp -d -t n2wbackup-postgresql-XXXXXX)"
as_server=()
if [[ "$(id -u)" == 0 ]]; then
    chown postgres:postgres "$folder"
    # The server must not inherit root's working folder: it may not be able to enter it.
    as_server=(setpriv --reuid postgres --regid postgres --init-groups)
    as_server+=(env -C "$folder" HOME="$folder")
fi

stop() {
    "${as_server[@]}" "$programs/pg_ctl" --pgdata "$folder/data" --mode immediate --silent stop \
        >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 1' HUP INT TERM

"${as_server[@]}" "$programs/initdb" --pgdata "$folder/data" --username n2wbackup --auth trust \
    --encoding UTF8 --locale C.UTF-8 --no-sync >/dev/null
# The data is removed after the run, so nothing needs to reach the disk.
cat >>"$folder/data/postgresql.conf" <<SETTINGS
listen_addresses = ''
unix_socket_directories = '$folder'
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 200
SETTINGS
"${as_server[@]}" "$programs/pg_ctl" --pgdata "$folder/data" --log "$folder/log" \
    --silent --wait start || { cat "$folder/log" >&2; exit 1; }

N2W_TEST_TEMPLATE=n2wbackup_empty DATABASE_URL="postgres://n2wbackup@/$folder/postgres" "$@"
