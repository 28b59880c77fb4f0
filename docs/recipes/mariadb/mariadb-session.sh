#!/bin/bash
# Locks, proves, releases and purges: the part that runs where the database client is. before, after and complete call it,
# over SSH or on the spot, as `bash mariadb-session.sh before|after 0|1|complete 0|1`, with the names of mariadb.conf in its
# environment. It keeps what it must remember in $state_folder.
#
# One client holds the lock. Its input is a named pipe that it opened for reading AND writing, so it never meets an end
# of file and needs nobody beside it: it outlives this script and the SSH connection. Three things end it: after;
# `timeout` at the deadline; and the server itself, by wait_timeout, should this machine be cut off or stopped.
#
# Exit codes: 0 done; 1 not done, and nothing is locked any more; 2 the set-up is wrong, nothing was touched;
# 3 it is not known whether something is still locked: try again, or wait for the deadline.
set -u
export LC_ALL=C
umask 077
trap '' PIPE # when nobody listens any more, printf fails and we can still clean up

run=${N2W_RUN_ID:-by-hand}
attempt=${N2W_ATTEMPT:-1}
: "${client:=mariadb}" "${method:=auto}" "${state_folder:=.n2wbackup}" "${option_file:=.n2wbackup.cnf}"
: "${data_folder=/var/lib/mysql}" "${deadline_seconds:=75}"
# Until something is held nobody else waits, so a busy server may take half of the script's own time to answer.
patience=15
[[ ! ${N2W_TIMEOUT_SECONDS:-} =~ ^[0-9]+ ]] || patience=$(((BASH_REMATCH[0] + 1) / 2))
lock_wait_seconds=3 # a statement that waits for the lock holds up others behind it: wait shortly, and try again
tries=3

fail() {
  printf 'mariadb: %s\n' "$2" >&2
  exit "$1"
}

# A process is its number and its start time: numbers are used again. Prints nothing once the process is gone.
start_of() { cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null; }
same_process() { [[ -n $2 && $(start_of "$1") == "$2" ]]; }

# One statement in a session of its own; rows are separated by tabs.
sql() {
  timeout 10 "$client" --defaults-file="$option_file" --connect-timeout=5 --batch --skip-column-names -e "$1" \
    </dev/null 7>&- 8>&- 9>&-
}

check_set_up() {
  [[ $run =~ ^[A-Za-z0-9._-]{1,64}$ ]] || fail 2 "N2W_RUN_ID may have letters, digits, dot, dash and underscore only"
  [[ $attempt =~ ^[0-9]+$ ]] || fail 2 "N2W_ATTEMPT must be a number, not '$attempt'"
  [[ $deadline_seconds =~ ^[0-9]+$ ]] || fail 2 "deadline_seconds must be a number, not '$deadline_seconds'"
  [[ $method =~ ^(auto|backup-stage|read-lock)$ ]] || fail 2 "method must be auto, backup-stage or read-lock, not '$method'"
  local need
  for need in "$client" timeout setsid flock mkfifo; do
    command -v "$need" >/dev/null || fail 2 "the program $need is missing on $(uname -n)"
  done
  cd || fail 2 "the home folder cannot be entered"
  [[ $option_file == /* ]] || option_file=$HOME/$option_file
  [[ -r $option_file ]] || fail 2 "the option file $option_file cannot be read on $(uname -n)"
  [[ -z $(find -L "$option_file" -perm /077) ]] || fail 2 "others can read $option_file: run chmod 600 on it"
  { mkdir -p -- "$state_folder" && cd -- "$state_folder"; } || fail 2 "the folder $state_folder cannot be used"
}

# One of us at a time. after may end a before that is still at work here although its caller is dead.
take_turn() {
  local pid start
  exec 9>>turn
  if [[ $1 == after ]] && ! flock -n 9 && read -r pid start <turn; then
    same_process "$pid" "$start" && kill -KILL "$pid"
  fi
  flock -w 8 9 || fail 3 "another before, after or complete is at work in $state_folder on $(uname -n)"
  printf '%s %s\n' $$ "$(start_of $$)" >turn
}

# --- the session that holds the lock ---

open_session() {
  rm -f in out locked
  mkfifo in out
  {
    # On record by its own hand, before it is the client: whoever is killed now, after finds it. exec keeps the number.
    self=$BASHPID # in $(…) it would be another
    printf '%s %s' "$self" "$(start_of "$self")" >hold
    exec setsid timeout --kill-after=2 "$deadline" "$client" --defaults-file="$option_file" \
      --connect-timeout="$patience" --skip-reconnect --batch --skip-column-names --unbuffered
  } 0<>in 1<>out 2>errors 9>&- &
  holder=$!
  disown "$holder"
  exec 7<>in 8<>out
}

tell() { printf '%s\n' "$@" >&7; }

# Reads the session's lines up to the one that begins with $1 into `lines`; fails after $2 seconds or when the client ends.
answer() {
  local line until=$((SECONDS + $2))
  lines=()
  while ((SECONDS <= until)); do
    if IFS= read -r -t 0.2 line <&8; then
      lines+=("$line")
      [[ $line == "$1"* ]] && return 0
    elif ! kill -0 "$holder" 2>/dev/null; then
      return 1
    fi
  done
  return 1
}

choose_method() { # $1: what the server says of its version
  [[ $1 =~ ^(5\.5\.5-)?([0-9]+)\.([0-9]+) ]] || fail 1 "the server's version '$1' is not understood"
  local number=$((BASH_REMATCH[2] * 100 + BASH_REMATCH[3]))
  is_mariadb=no
  [[ $1 == *MariaDB* ]] && is_mariadb=yes
  server_number=$number
  if [[ $method == auto ]]; then
    method=read-lock
    [[ $is_mariadb == yes ]] && ((number >= 1004)) && method=backup-stage
  fi
}

# The server's own word on the stage: asked for BLOCK_COMMIT again, it refuses with 4147 only when it is there already.
ask_stage='DELIMITER //
BEGIN NOT ATOMIC
  DECLARE EXIT HANDLER FOR SQLEXCEPTION GET DIAGNOSTICS CONDITION 1 @n2w_stage = MYSQL_ERRNO;
  SET @n2w_stage = 0;
  EXECUTE IMMEDIATE "BACKUP STAGE BLOCK_COMMIT";
END//
DELIMITER ;'

say_held="SELECT CONCAT_WS(' ', 'held', CONNECTION_ID(), @n2w_run, COALESCE(@n2w_stage, '-'),
  ROUND(TIMESTAMPDIFF(MICROSECOND, @n2w_locked_at, SYSDATE(6)) / 1000000, 3));"

# The client sends one statement at a time and ends at the first that fails: what comes out has passed all above it.
lock_statements() {
  local status='SHOW MASTER STATUS' gtid='@@global.gtid_executed'
  [[ $is_mariadb == yes ]] && gtid='@@global.gtid_binlog_pos'
  [[ $is_mariadb == no ]] && ((server_number >= 802)) && status='SHOW BINARY LOG STATUS'
  printf '%s\n' "SET @n2w_run = '$run', @n2w_ends = UNIX_TIMESTAMP(SYSDATE()) + $deadline, @n2w_stage = NULL;" \
    "SET SESSION lock_wait_timeout = $lock_wait_seconds, wait_timeout = $deadline;"
  if [[ $method == backup-stage ]]; then
    printf 'BACKUP STAGE %s;\n' START FLUSH BLOCK_DDL BLOCK_COMMIT
    printf '%s\n' "$ask_stage"
  else
    # LOCK INSTANCE keeps DDL out; it blocks no commit, so it stands beside the read lock and never instead of it.
    [[ $is_mariadb == no ]] && ((server_number >= 800)) && printf 'LOCK INSTANCE FOR BACKUP;\n'
    printf 'FLUSH TABLES WITH READ LOCK;\n'
  fi
  # A snapshot has what the device has: the redo log must be written out. What time the waiting took, wait_timeout loses.
  printf '%s\n' 'SET @n2w_locked_at = SYSDATE(6);' 'FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS;' \
    "SELECT 'position';" "$status;" "SELECT CONCAT('gtid ', $gtid);" \
    "SET SESSION wait_timeout = GREATEST(1, LEAST($deadline, CAST(@n2w_ends AS SIGNED) - UNIX_TIMESTAMP(SYSDATE())));" \
    "$say_held"
}

# True when the last line proves that the session $1 holds the lock it took for this run.
is_held() {
  local word id owner stage
  read -r word id owner stage held_seconds <<<"${lines[-1]}"
  [[ $word == held && $id == "$1" && $owner == "$run" ]] || return 1
  [[ $method == read-lock || $stage == 4147 ]]
}

# Succeeds once the server says that the recorded session is gone; the client is ended first, then the session itself.
end_session() {
  local start='' id='' user='' until=$((SECONDS + 6)) rows
  [[ -e hold ]] || return 0
  read -r holder start id user _ <hold
  until_gone() {
    while ((SECONDS <= until)); do
      rows=$(sql 'SHOW PROCESSLIST') &&
        { awk -F'\t' -v id="$id" -v user="$user" '$1 == id && $2 == user { found = 1 } END { exit found }' <<<"$rows" ||
          { sql "KILL CONNECTION $id" 2>/dev/null; false; }; } && return 0
      sleep 0.05
    done
    return 1
  }
  same_process "$holder" "$start" && { kill -KILL -- "-$holder" || kill -KILL "$holder"; } 2>/dev/null
  # Without a session's number nothing was ever locked.
  { [[ -z $id ]] || until_gone; } && rm -f hold
}

# Takes the lock in one try. 1: the server let us wait too long, worth another try; fails for good otherwise.
try_lock() {
  open_session
  tell "SELECT CONCAT_WS(' ', 'session', CONNECTION_ID(), SUBSTRING_INDEX(USER(), '@', 1), VERSION());"
  if ! answer session "$patience"; then
    end_session
    fail 1 "nothing is locked: no session could be opened: $(tail -n 1 errors | grep . || echo "no answer came in time")"
  fi
  read -r _ id user version <<<"${lines[-1]}"
  choose_method "$version"
  # On record before the first lock, or there is none: whatever happens now, after finds the session.
  printf ' %s\n' "$id $user $method $run" >>hold || { end_session && fail 1 "nothing is locked: $state_folder cannot be written to"; }
  tell "$(lock_statements)"
  answer held 15 && is_held "$id" && : >locked && return 0
  end_session || fail 3 "session $id, which was to take the lock, cannot be ended"
  grep -q 'ERROR 1205' errors || fail 1 "nothing is locked: $(grep -m 1 ERROR errors || echo "the server did not answer in time")"
  return 1
}

note_position() {
  local line file='' offset='' gtid='' before_line=''
  for line in "${lines[@]}"; do
    [[ $before_line == position && $line != gtid* ]] && IFS=$'\t' read -r file offset _ <<<"$line"
    [[ $line == 'gtid '* ]] && gtid=${line#gtid }
    before_line=$line
  done
  printf '%s %s %s\n' "${file:--}" "${offset:--}" "${gtid:--}" >"position.$run"
}

# Nor is what the server left in the page cache: under a read lock the end of the binary log, unless sync_binlog is 1.
write_out() {
  [[ -n $data_folder ]] || return 0
  sync -f -- "$data_folder" 2>/dev/null 9>&- || sync 9>&-
}

# Writes the run's mark into the database, where a proof looks for it. Without it the backup is as good, but no proof of it
# reaches level 3, so a mark that cannot be written is said and no reason to stop.
write_mark() {
  local mark=${N2W_MARK:-} said table='n2wbackup.n2wbackup_marks'
  [[ -n $mark ]] || return 0
  [[ $mark =~ ^[A-Za-z0-9-]{1,64}$ ]] || fail 2 "N2W_MARK may have letters, digits and dash only"
  local insert="SET SESSION lock_wait_timeout = 3, innodb_lock_wait_timeout = 3;
    INSERT INTO $table (mark, at) VALUES ('$mark', UTC_TIMESTAMP(6));
    DELETE FROM $table WHERE at < UTC_TIMESTAMP(6) - INTERVAL 30 DAY;"
  sql "$insert" 2>/dev/null && return
  said=$(sql "CREATE DATABASE IF NOT EXISTS n2wbackup;
    CREATE TABLE IF NOT EXISTS $table (mark VARCHAR(64) PRIMARY KEY, at DATETIME(6) NOT NULL) ENGINE=InnoDB;
    $insert" 2>&1) && return
  printf 'no mark is written, so no proof can find it: %s\n' "$(head -n 1 <<<"$said")"
}

before() {
  local try
  deadline=$deadline_seconds
  [[ ${N2W_SECONDS_LEFT:-} =~ ^([0-9]+) ]] && deadline=$((BASH_REMATCH[1] + 15))
  take_turn before
  # A before that comes after its own after (a slow network) would freeze and nobody would thaw.
  [[ $run != by-hand ]] || rm -f ended.by-hand
  [[ ! -e ended.$run ]] || fail 1 "run $run has ended already: nothing is locked"
  [[ ! -e hold ]] || printf 'mariadb: an earlier run left a session behind: it is ended now\n' >&2
  end_session || fail 3 "the session of an earlier run cannot be ended"
  find . -maxdepth 1 \( -name 'position.*' -o -name 'ended.*' \) -mtime +14 -delete
  rm -f "position.$run"
  write_mark
  write_out # the long part, while everybody can still work
  for ((try = 1; ; try++)); do
    try_lock && break
    ((try < tries)) || fail 1 "nothing is locked: $tries times the lock was not to be had within $lock_wait_seconds s"
    sleep 1 9>&-
  done
  note_position
  write_out
  printf 'commits are locked (%s, connection %s); without after this ends by itself %s s after it began\n' \
    "$method" "$id" "$deadline" && printf 'binary log position: %s\n' "$(<"position.$run")" && return
  end_session
  fail 1 "nobody listens any more: nothing is locked"
}

# Asks the session whether it still holds the lock, and releases it in the same breath.
ask_and_release() {
  local start id
  read -r holder start id _ method owner <hold
  # A before that was killed while it waited for the lock: there is nobody to ask, and no time to lose.
  [[ -e locked ]] && same_process "$holder" "$start" || return 1
  exec 7<>in 8<>out
  [[ $method == backup-stage ]] && tell "$ask_stage"
  tell "$say_held"
  [[ $method == backup-stage ]] && tell 'BACKUP STAGE END;'
  [[ $method == read-lock ]] && tell 'UNLOCK TABLES;' # the instance lock goes with the session
  tell "SELECT 'released';" 'EXIT'
  answer held 4 && is_held "$id" || return 1
  answer released 4
}

after() {
  local argument=$1 proven=no word=''
  take_turn after
  # Said once already, and the answer was lost, or the caller died: it is said again.
  [[ ! -e hold && -s ended.$run ]] && read -r word held_seconds <"ended.$run"
  [[ -e ended.$run ]] || : >"ended.$run"
  if [[ $word == held ]]; then
    proven=yes
  elif [[ -e hold ]] && ask_and_release; then
    proven=yes
    printf 'held %s\n' "$held_seconds" >"ended.$run"
  fi
  # An answer "released" is the server's word; a full server may refuse the second session that looks.
  end_session || [[ $proven == yes ]] || fail 3 "the lock's session cannot be ended: it ends by itself at its deadline"
  rm -f hold
  if [[ $proven == yes ]]; then
    printf 'the lock was held for %s s and is released\n' "$held_seconds"
    return
  fi
  rm -f "position.$run" # nothing may be purged up to a position at which nobody stood still
  if [[ $argument == 1 ]] && ((attempt == 1)); then
    fail 1 "the lock was NOT held until now: the snapshots are not consistent; nothing is locked now"
  fi
  printf 'nothing is locked\n'
}

complete() {
  local argument=$1 file
  take_turn complete
  if [[ $argument != 1 ]]; then
    printf 'the backup did not succeed: no binary log is purged\n'
    return
  fi
  [[ -r position.$run ]] || fail 1 "no position is on record for run $run: no binary log is purged"
  read -r file _ <"position.$run"
  if [[ $file == - ]]; then
    printf 'the server keeps no binary log: nothing is to be purged\n'
    return
  fi
  [[ $file =~ ^[A-Za-z0-9._/-]+$ ]] || fail 1 "the recorded name of the binary log is damaged: nothing is purged"
  sql "PURGE BINARY LOGS TO '$file'" || fail 1 "the binary logs older than $file could not be purged"
  printf 'the binary logs older than %s are purged\n' "$file"
}

main() {
  check_set_up
  case "$1 ${2:-}" in
    'before ') before ;;
    'after 0' | 'after 1') after "$2" ;;
    'complete 0' | 'complete 1') complete "$2" ;;
    *) fail 2 "$1 needs the argument 0 or 1" ;;
  esac
}

main "$@"
