# shellcheck shell=bash disable=SC2154 # it follows common.sh
# A MariaDB on a copy of its data folder: InnoDB's recovery, then a look. Nobody asks for a password, and nothing goes out.

program=$(command -v mariadbd || command -v mysqld) ||
  missing "MariaDB is not installed on this server: apt install mariadb-server"
client=$(command -v mariadb || command -v mysql) ||
  missing "MariaDB's client is not installed on this server: apt install mariadb-client"
here=$("$program" --no-defaults --version 2>/dev/null)
number() { [[ $1 =~ ([0-9]+)\.([0-9]+)\.[0-9]+ ]] && printf '%d%02d' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"; }
cd -- "$data" || down "its data folder cannot be entered"
made_by=$(cat -- mariadb_upgrade_info mysql_upgrade_info 2>/dev/null | tr -cd '[:print:]')
if [[ -n $made_by && $(number "$made_by") -gt $(number "$here") ]]; then
  missing "these data are of MariaDB ${made_by%%-*}, and this server has only an older one: install MariaDB ${made_by%%-*}"
fi

# Its own settings say how its files are cut; without the binary log nobody knows what became of a prepared transaction.
size_of() { stat -c %s -- "$1" 2>/dev/null; }
word_at() { od -An -tu1 -j "$2" -N 4 -- "$1" 2>/dev/null | awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }'; }
options=()
flags=$(word_at ibdata1 54)
if ((${flags:-0} & 16)); then page=$((512 << (flags & 15))); else page=$((512 << (${flags:-0} >> 6 & 15))); fi
((page < 4096 || page > 65536)) || options+=("--innodb-page-size=$page")
[[ -z $(size_of ib_logfile0) ]] || options+=("--innodb-log-file-size=$(size_of ib_logfile0)")
undo=(undo[0-9][0-9][0-9])
[[ ! -e ${undo[0]} ]] || options+=("--innodb-undo-tablespaces=${#undo[@]}")
for index in *.index; do
  [[ -f $index && ! -L $index ]] && head -n 1 -- "$index" | grep -qaE '^(\./)?[A-Za-z0-9_.-]+\.[0-9]{6}$' &&
    [[ $index != *relay* ]] && options+=("--log-bin=${index%.index}" --server-id=1) && break
done
((EUID != 0)) || options+=(--user=root)

say "server $(tr -cd '[:print:]' <<<"$here")"
"$program" --no-defaults --datadir="$data" --socket="$scratch/s" --pid-file="$scratch/pid" --tmpdir="$scratch" \
  --skip-networking --skip-grant-tables --skip-slave-start --skip-name-resolve --performance-schema=OFF \
  --local-infile=0 --secure-file-priv="$scratch" --innodb-buffer-pool-size=64M --innodb-buffer-pool-load-at-startup=OFF \
  --innodb-flush-log-at-trx-commit=0 --innodb-temp-data-file-path=ibtmp1:2M:autoextend --log-warnings=2 --key-buffer-size=8M "${options[@]}" </dev/null >"$log" 2>&1 &
server=$!
disown
ask() { "$client" --no-defaults --socket="$scratch/s" --user=root --batch --skip-column-names --connect-timeout=5 -e "$1"; }
answers() { [[ -S $scratch/s ]] && ask 'SELECT 1' >/dev/null; }
wait_until_up "$server" '\[ERROR\]'

start=$(grep -m 1 -aoP '(from checkpoint|checkpoint) LSN=\K[0-9]+' "$log") end=$(grep -m 1 -aoP 'End of log at LSN=\K[0-9]+' "$log")
rolled=$(grep -m 1 -aoE '[0-9]+ transaction\(s\) which must be rolled back' "$log")
if [[ -n $start && -n $end ]]; then
  say "redo $((end - start)) InnoDB's log from $start to $end${rolled:+, $rolled}"
else
  say "redo 0 InnoDB had nothing to recover"
fi

counts=$(ask "SELECT SUM(mark = '$mark'), COALESCE(SUM(at > '$(sed 's/T/ /; s/+.*//' <<<"$N2W_FIRED_AT")' + INTERVAL 5 SECOND), 0)
  FROM n2wbackup.n2wbackup_marks" 2>/dev/null)
read -r found younger <<<"$counts"
[[ $found != NULL ]] || found=0
say_mark "$found" "$younger"
run_verify "$scratch/s"
finish
