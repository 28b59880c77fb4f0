# shellcheck shell=bash disable=SC2154 # it follows common.sh
# A Redis or Valkey on a copy of its data folder: what it loads by itself, then a look. It listens on a unix socket only.

program=$(command -v valkey-server || command -v redis-server) ||
  missing "Redis or Valkey is not installed on this server: apt install redis-server"
client=$(command -v valkey-cli || command -v redis-cli) ||
  missing "Redis's client is not installed on this server: apt install redis-tools"
cd -- "$data" || down "its data folder cannot be entered"

options=()
for manifest in appendonlydir/*.manifest; do
  [[ -f $manifest && ! -L $manifest ]] || continue
  name=${manifest##*/}
  options=(--appendonly yes --appendfilename "${name%.manifest}")
done
[[ ${#options[@]} -gt 0 || ! -f dump.rdb ]] || options=(--dbfilename dump.rdb)
say "server $("$program" --version | tr -cd '[:print:]')"
"$program" --port 0 --unixsocket "$scratch/s" --dir "$data" --save '' --daemonize no --logfile '' --appendfsync no \
  "${options[@]}" </dev/null >"$log" 2>&1 &
server=$!
disown
ask() { timeout 10 "$client" -s "$scratch/s" "$@"; }
answers() { [[ -S $scratch/s && $(ask PING) == PONG ]]; }
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
