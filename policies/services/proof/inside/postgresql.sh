# shellcheck shell=bash disable=SC2154 # it follows common.sh
# A PostgreSQL on a copy of its data folder: crash recovery, then a look. Nobody asks for a password, and nothing goes out.

version=$(head -n 1 -- "$data/PG_VERSION" | tr -cd '0-9.')
bin=/usr/lib/postgresql/$version/bin
if [[ ! -x $bin/postgres ]]; then
  bin=$(dirname -- "$(readlink -f -- "$(command -v postgres || echo /none/postgres)")")
  [[ "$("$bin/postgres" -V 2>/dev/null)" =~ \ ${version//./\\.}[.\ ] ]] ||
    missing "PostgreSQL $version, whose data these are, is not installed on this server: apt install postgresql-$version"
fi

# Settings of the original would look for its files and partners. What a running server left behind names a process of it.
cd -- "$data" || down "its data folder cannot be entered"
rm -f postmaster.pid standby.signal recovery.signal
: >postgresql.auto.conf
: >"$scratch/postgresql.conf"
printf 'local all all trust\n' >"$scratch/hba.conf"
: >"$scratch/ident.conf"

settings=("config_file=$scratch/postgresql.conf" "hba_file=$scratch/hba.conf" "ident_file=$scratch/ident.conf"
  "unix_socket_directories=$scratch" listen_addresses= ssl=off archive_mode=off autovacuum=off fsync=off
  full_page_writes=off synchronous_commit=off shared_buffers=64MB max_prepared_transactions=200 max_connections=20
  dynamic_shared_memory_type=mmap max_logical_replication_workers=0 max_wal_senders=0 shared_preload_libraries=
  logging_collector=off log_checkpoints=off lc_messages=C jit=off huge_pages=off wal_sync_method=fdatasync)
options=()
for setting in "${settings[@]}"; do options+=(-c "$setting"); done
say "server $("$bin/postgres" -V | tr -cd '[:print:]')"
"$bin/postgres" -D "$data" "${options[@]}" </dev/null >"$log" 2>&1 &
server=$!
disown
answers() { "$bin/pg_isready" -q -h "$scratch" -t 1; }
wait_until_up "$server" 'PANIC|FATAL' 'starting up|yet accepting'

# How much was written again: from the checkpoint to the end of what the snapshot has of the write-ahead log.
position() { # $1: the words before it
  local high low
  IFS=/ read -r high low < <(grep -m 1 -aoP "$1 \K[0-9A-F]+/[0-9A-F]+" "$log")
  printf '%s' "${high:+$((16#$high * 4294967296 + 16#$low))}"
}
start=$(position 'redo starts at') end=$(position 'redo done at')
if [[ -n $start && -n $end ]]; then
  say "redo $((end - start)) $(grep -m 1 -aoE 'redo done at [0-9A-F/]+' "$log") after $(grep -m 1 -aoE 'redo starts at [0-9A-F/]+' "$log")"
elif grep -qa 'was shut down' "$log"; then
  say "redo 0 the server had been shut down"
else
  say "redo 0 nothing was to be written again"
fi

# Everybody may log in, but nobody says as whom: the names of the roles stand in the file of their table.
ask() { PGOPTIONS='-c statement_timeout=20s' "$bin/psql" -XAtq -v ON_ERROR_STOP=1 -h "$scratch" -U "$1" -d "$2" -c "$3" 2>/dev/null; }
user=
while read -r name; do
  user=$(ask "$name" template1 'SELECT rolname FROM pg_roles WHERE oid = 10') && [[ -n $user ]] && break
done < <(printf 'postgres\n'; tr -c '[:print:]' '\n' <global/1260 | grep -aE '^[A-Za-z_][A-Za-z0-9_-]{1,62}$' | grep -av '^pg_')
[[ -n $user ]] || down "it is up, but no role of it may log in"

found='' younger=0
while IFS= read -r database; do
  while IFS= read -r table; do
    IFS='|' read -r with after < <(ask "$user" "$database" "SELECT count(*) FILTER (WHERE mark = '$mark'),
      count(*) FILTER (WHERE at > '$N2W_FIRED_AT'::timestamptz + interval '5 s') FROM $table")
    found=$((${found:-0} + ${with:-0})) younger=$((younger + ${after:-0}))
  done < <(ask "$user" "$database" "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = 'n2wbackup_marks' AND c.relkind = 'r'")
done < <(ask "$user" template1 'SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate')
say_mark "$found" "$younger"
export PGHOST=$scratch PGUSER=$user PATH=$bin:$PATH
run_verify "$scratch"
finish
