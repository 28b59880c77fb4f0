# shellcheck shell=bash disable=SC2154,SC2034 # it follows common.sh
# A Redis or Valkey on a copy of its data folder: what it loads by itself, then a look. It listens on a unix socket only.

cd -- "$data" || down "its data folder cannot be entered"
options=() saves=(dump.rdb)
for manifest in appendonlydir/*.manifest; do
  [[ -f $manifest && ! -L $manifest ]] || continue
  name=${manifest##*/}
  options=(--appendonly yes --appendfilename "${name%.manifest}") saves=("appendonlydir/${name%.manifest}".*.base.rdb)
done
[[ ${#options[@]} -gt 0 || ! -f dump.rdb ]] || options=(--dbfilename dump.rdb)

# The first bytes of a save say who made it. Valkey from 9 on writes what only Valkey reads, and each of them reads what the
# other one wrote before they parted.
made_by=$(cat -- "${saves[@]}" 2>/dev/null | head -c 9 | tr -cd 'A-Z0-9')
programs=(valkey-server redis-server)
[[ $made_by != REDIS* ]] || programs=(redis-server valkey-server)
[[ $made_by != VALKEY* ]] || programs=(valkey-server)
for name in "${programs[@]}"; do program=$(command -v "$name") && break; done
client=$(command -v valkey-cli || command -v redis-cli) ||
  missing "Redis's client is not installed on this server: apt install redis-tools"
if [[ -z $program && $made_by == VALKEY* ]]; then
  missing "these data are of Valkey 9 or newer, and this server has no Valkey: install Valkey"
fi
[[ -n $program ]] || missing "Redis or Valkey is not installed on this server: apt install redis-server"

say "server $("$program" --version | tr -cd '[:print:]')"
"$program" --port 0 --unixsocket "$scratch/s" --dir "$data" --save '' --daemonize no --logfile '' --appendfsync no \
  "${options[@]}" </dev/null >"$log" 2>&1 &
server=$!
disown
ask() { timeout 10 "$client" -s "$scratch/s" "$@"; }
answers() { [[ -S $scratch/s && $(ask PING) == PONG ]]; }
too_new='handle RDB format version [0-9]+'
wait_until_up "$server" '# .*([Bb]ad|[Ff]atal|[Ee]rror|[Uu]nexpected|[Ww]rong)'

cut_at=$(grep -m 1 -aoiE '(truncat|short read|unexpected end)[^,]*' "$log" | tr -cd '[:print:]')
if [[ -n $cut_at ]]; then
  say "redo 1 the end of its append-only file was incomplete ($cut_at)"
else
  say "redo 0 its files were complete"
fi

fired=$(date -u -d "${N2W_FIRED_AT:-1970-01-01}" +%s) found='' younger=0
while read -r word at; do
  [[ -n $word ]] || continue
  found=${found:-0}
  [[ $word != "$mark" ]] || found=$((found + 1))
  [[ ! $at =~ ^[0-9]{1,12}$ ]] || ((at <= fired + 5)) || younger=$((younger + 1))
done < <(ask LRANGE n2wbackup_marks 0 99)
say_mark "$found" "$younger"
run_verify "$scratch/s"
finish
