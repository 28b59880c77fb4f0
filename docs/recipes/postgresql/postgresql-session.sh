#!/bin/bash
# Checkpoints, holds backup mode, proves and cleans up: the part that runs where the database client is. before, after and
# complete call it, over SSH or on the spot, as `bash postgresql-session.sh before|after 0|1|complete 0|1`, with the names
# of postgresql-scripts.conf in its environment. It keeps what it must remember in $state_folder.
#
# With method=backup one client holds backup mode, which lives and dies with its session. Its input is a named pipe that
# it opened for reading AND writing, so it never meets an end of file and needs nobody beside it: it outlives this script
# and the SSH connection. Three things end it: after; `timeout` at the deadline; and the server itself, by
# idle_in_transaction_session_timeout, should this machine be cut off or stopped.
#
# Exit codes: 0 done; 1 not done, and nothing is held any more; 2 the set-up is wrong, nothing was touched;
# 3 it is not known whether a session is still held: try again, or wait for the deadline.
set -u
export LC_ALL=C
umask 077
trap '' PIPE # when nobody listens any more, printf fails and we can still clean up

run=${N2W_RUN_ID:-by-hand}
attempt=${N2W_ATTEMPT:-1}
: "${client:=psql}" "${method:=checkpoint}" "${state_folder:=.n2wbackup-postgresql}"
: "${service_file:=.n2wbackup-postgresql.conf}" "${data_folder=/var/lib/postgresql}" "${checkpoint_seconds:=20}"
: "${deadline_seconds:=75}" "${archive_folder=}" "${archivecleanup:=pg_archivecleanup}" "${archive_seconds:=15}"
# Until something is held nobody else waits, so a busy server may take half of the script's own time to answer.
patience=15
[[ ! ${N2W_TIMEOUT_SECONDS:-} =~ ^[0-9]+ ]] || patience=$(((BASH_REMATCH[0] + 1) / 2))
days_of_labels=400

fail() {
  printf 'postgresql: %s\n' "$2" >&2
  exit "$1"
}

# A process is its number and its start time: numbers are used again. Prints nothing once the process is gone.
start_of() { cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null; }
same_process() { [[ -n $2 && $(start_of "$1") == "$2" ]]; }

# Statements in a session of their own, which may take $1 seconds; columns are separated by |.
sql() { timeout "$1" "${psql[@]}" -c "$2" </dev/null 7>&- 8>&- 9>&-; }

check_set_up() {
  [[ $run =~ ^[A-Za-z0-9._-]{1,64}$ ]] || fail 2 "N2W_RUN_ID may have letters, digits, dot, dash and underscore only"
  [[ $method =~ ^(checkpoint|backup)$ ]] || fail 2 "method must be checkpoint or backup, not '$method'"
  local need
  for need in attempt N2W_ATTEMPT deadline_seconds checkpoint_seconds archive_seconds; do
    [[ ${!need:-1} =~ ^[1-9][0-9]*$ ]] || fail 2 "${need/attempt/N2W_ATTEMPT} must be a number, not '${!need}'"
  done
  for need in "$client" timeout setsid flock mkfifo base64; do
    command -v "$need" >/dev/null || fail 2 "the program $need is missing on $(uname -n)"
  done
  cd || fail 2 "the home folder cannot be entered"
  [[ $service_file == /* ]] || service_file=$HOME/$service_file
  [[ -z $archive_folder || $archive_folder == /* ]] || archive_folder=$HOME/$archive_folder
  [[ -r $service_file ]] || fail 2 "the service file $service_file cannot be read on $(uname -n)"
  [[ -z $(find -L "$service_file" -perm /077) ]] || fail 2 "others can read $service_file: run chmod 600 on it"
  { mkdir -p -- "$state_folder" && cd -- "$state_folder"; } || fail 2 "the folder $state_folder cannot be used"
  # Only the service file says where the server is and who we are; verbose errors begin with their code.
  for need in "${!PG@}"; do unset "$need"; done
  export PGSERVICEFILE=$service_file PGCONNECT_TIMEOUT=$patience PGAPPNAME=n2wbackup
  psql=("$client" --no-psqlrc --no-password --quiet --no-align --tuples-only -v ON_ERROR_STOP=1 -v VERBOSITY=verbose
    service=n2wbackup)
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

# --- what the server says of itself ---

# Sets the facts; fails when the server does not answer.
ask_facts() {
  local line word
  line=$(sql "$patience" "SELECT concat_ws(' ', 'facts', extract(epoch FROM pg_postmaster_start_time()), s.system_identifier,
      c.timeline_id, c.redo_lsn, c.redo_wal_file, current_setting('server_version_num'), pg_is_in_recovery(),
      current_setting('fsync'), current_setting('full_page_writes'))
    FROM pg_control_system() s, pg_control_checkpoint() c" 2>errors) || return 1
  read -r word started system timeline redo redo_file version in_recovery fsync full_page_writes <<<"$line"
  [[ $word == facts ]]
}

first_error() {
  { grep -m 1 -oE '(ERROR|FATAL|error): .*' errors || tail -n 1 errors; } | grep . || echo 'no answer came in time'
}

# Says what makes a copy of this server's disks worthless or something else than it seems.
oddity() {
  if [[ $in_recovery == t ]]; then
    printf 'this server is a standby: back up the primary'
  elif [[ $fsync != on ]]; then
    printf 'fsync is off: what this server calls committed need not be on its disks'
  elif [[ $1 == checkpoint && $full_page_writes != on ]]; then
    printf 'full_page_writes is off: a page that was half written cannot be recovered'
  fi
}

# Succeeds when the write-ahead log position $1 is not behind $2.
reaches() {
  local high low high_of low_of
  IFS=/ read -r high low <<<"$1"
  IFS=/ read -r high_of low_of <<<"$2"
  ((16#$high > 16#$high_of || (16#$high == 16#$high_of && 16#$low >= 16#$low_of)))
}

# --- the session that holds backup mode ---

open_session() {
  rm -f in out held
  mkfifo in out
  {
    # On record by its own hand, before it is the client: whoever is killed now, after finds it. exec keeps the number.
    self=$BASHPID # in $(…) it would be another
    printf '%s %s %s' "$self" "$(start_of "$self")" "$((EPOCHSECONDS + deadline + 10))" >hold
    exec setsid timeout --kill-after=2 "$deadline" "${psql[@]}"
  } 0<>in 1<>out 2>errors 9>&- &
  holder=$!
  disown "$holder"
  exec 7<>in 8<>out
}

tell() { printf '%s\n' "$@" >&7; }

# Reads the session's lines up to the one that begins with $1 into `line`; fails after $2 seconds or when the client ends.
answer() {
  local until=$((SECONDS + $2))
  while ((SECONDS <= until)); do
    if IFS= read -r -t 0.2 line <&8; then
      [[ $line == "$1 "* ]] && return 0
    elif ! kill -0 "$holder" 2>/dev/null; then
      return 1
    fi
  done
  return 1
}

# The client sends one statement at a time and ends at the first that fails: what comes out has passed all above it.
# The transaction is there for the server's clock: idle_in_transaction_session_timeout is known to every version. It has
# neither a snapshot nor a number, so it keeps no row from VACUUM.
start_statements() {
  local start='pg_backup_start(%s, true)'
  ((version >= 150000)) || start='pg_start_backup(%s, true, false)'
  printf '%s\n' "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout';" \
    "SET statement_timeout = '${checkpoint_seconds}s';" "SET idle_in_transaction_session_timeout = '${deadline}s';" \
    "SELECT set_config('n2wbackup.run', '$run', false),
       set_config('n2wbackup.ends', (clock_timestamp() + interval '$deadline s')::text, false);" 'BEGIN;'
  # shellcheck disable=SC2059 # the function is the format
  printf "SELECT concat_ws(' ', 'started', set_config('n2wbackup.start', lsn::text, false), pg_walfile_name(lsn))
    FROM $start AS lsn;\n" "'n2wbackup $run'"
  # What time the checkpoint took, the server's clock loses.
  printf '%s\n' "SET statement_timeout = '10s';" \
    "SELECT set_config('n2wbackup.since', clock_timestamp()::text, false),
       set_config('idle_in_transaction_session_timeout', greatest(1000, (1000 * extract(epoch FROM
         current_setting('n2wbackup.ends')::timestamptz - clock_timestamp()))::int)::text, false);" \
    "SELECT 'held ' || pg_backend_pid();"
}

stop_statements() {
  local stop='pg_backup_stop(false)'
  ((version >= 150000)) || stop='pg_stop_backup(false, false)'
  # The base64 of the server has line breaks. Without a tablespace there is no map.
  printf '%s\n' "SELECT concat_ws(' ', 'stopped', pg_backend_pid(), current_setting('n2wbackup.run'),
      round(extract(epoch FROM clock_timestamp() - current_setting('n2wbackup.since')::timestamptz)::numeric, 3),
      current_setting('n2wbackup.start'), lsn, pg_walfile_name(lsn),
      translate(encode(convert_to(labelfile, 'UTF8'), 'base64'), E'\n', ''),
      coalesce(nullif(translate(encode(convert_to(spcmapfile, 'UTF8'), 'base64'), E'\n', ''), ''), '-'))
    FROM $stop;" 'COMMIT;' '\q'
}

# Succeeds once the server says that the recorded session is gone; the client is ended first, then the session itself.
end_session() {
  local start='' ends='' id='' born='' until=$((SECONDS + 6)) count
  [[ -e hold ]] || return 0
  read -r holder start ends id born _ <hold
  same_process "$holder" "$start" && { kill -KILL -- "-$holder" || kill -KILL "$holder"; } 2>/dev/null
  # Without a session's number nothing was ever held.
  while [[ -n $born ]] && ((SECONDS <= until)); do
    count=$(sql 5 "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE pid = $id AND extract(epoch FROM backend_start)::text = '$born') AS still_there" 2>/dev/null) &&
      [[ $count == 0 ]] && break
    # A server that does not answer has by then ended it by its own clock, or is down, and its sessions with it.
    ((EPOCHSECONDS > ends)) && break
    sleep 0.05 9>&-
  done
  ((SECONDS <= until)) && rm -f hold
}

start_backup() {
  open_session
  tell "SELECT concat_ws(' ', 'session', pid, extract(epoch FROM backend_start)) FROM pg_stat_activity
    WHERE pid = pg_backend_pid();"
  if ! answer session "$patience"; then
    end_session
    fail 1 "nothing is held: no session could be opened: $(first_error)"
  fi
  read -r _ id born <<<"$line"
  # On record before backup mode, or there is none: whatever happens now, after finds the session.
  printf ' %s\n' "$id $born $version $run" >>hold ||
    { end_session && fail 1 "nothing is held: $state_folder cannot be written to"; }
  tell "$(start_statements)"
  if answer started $((checkpoint_seconds + 3)) && read -r _ redo redo_file <<<"$line" && answer held 5; then
    : >held
    return
  fi
  end_session || fail 3 "session $id, which was to hold backup mode, cannot be ended"
  late_or_refused
}

# Fails with the reason: the only error that is not one of the set-up is a checkpoint that takes too long.
late_or_refused() {
  ! grep -q '57014' errors || fail 1 "nothing is held: the checkpoint was not done within $checkpoint_seconds s"
  fail 1 "nothing is held: $(first_error)"
}

# --- before ---

checkpoint() {
  sql $((checkpoint_seconds + 3)) "SET statement_timeout = '${checkpoint_seconds}s'; CHECKPOINT" 2>errors || late_or_refused
  ask_facts || late_or_refused
}

# The server writes out by itself what a recovery needs. This is for what else lies there, so it may fail.
write_out() {
  [[ -z $data_folder ]] || sync -f -- "$data_folder" 2>/dev/null 9>&-
}

tell_what_is_held() {
  if [[ $method == backup ]]; then
    printf 'backup mode is on (session %s); without after this ends by itself %s s after it began\n' "$id" "$deadline" &&
      printf 'the backup starts at %s in %s\n' "$redo" "$redo_file"
  else
    printf 'the checkpoint is done, nothing is held: a copy recovers from %s in %s or later\n' "$redo" "$redo_file"
  fi
}

# Writes the run's mark, for proofs. Without it the backup is as good, so a mark that cannot be written is only said.
write_mark() {
  local said
  [[ -n ${N2W_MARK:-} ]] || return 0
  [[ $N2W_MARK =~ ^[A-Za-z0-9-]{1,64}$ ]] || fail 2 "N2W_MARK may have letters, digits and dash only"
  said=$(sql 5 "SET statement_timeout = '3s'; SET client_min_messages = 'warning';
    CREATE TABLE IF NOT EXISTS n2wbackup_marks (mark text PRIMARY KEY, at timestamptz NOT NULL);
    INSERT INTO n2wbackup_marks (mark, at) VALUES ('$N2W_MARK', clock_timestamp());
    DELETE FROM n2wbackup_marks WHERE at < clock_timestamp() - interval '30 days'" 2>&1) ||
    printf 'no mark is written, so no proof can find it: %s\n' "$(head -n 1 <<<"$said")"
}

before() {
  local odd
  deadline=$deadline_seconds
  [[ ${N2W_SECONDS_LEFT:-} =~ ^([0-9]+) ]] && deadline=$((BASH_REMATCH[1] + 15))
  ((checkpoint_seconds <= deadline)) || checkpoint_seconds=$deadline
  take_turn before
  # A before that comes after its own after (a slow network) would hold what nobody ends.
  [[ $run != by-hand ]] || rm -f ended.by-hand
  [[ ! -e ended.$run ]] || fail 1 "run $run has ended already: nothing is held"
  [[ ! -e hold ]] || printf 'postgresql: an earlier run left a session behind: it is ended now\n' >&2
  end_session || fail 3 "the session of an earlier run cannot be ended"
  find . -maxdepth 1 \( -name 'begun.*' -o -name 'ended.*' \) -mtime +14 -delete
  find . -mindepth 2 -path './label.*' -mtime "+$days_of_labels" -delete
  find . -maxdepth 1 -name 'label.*' -type d -empty -delete
  rm -f "begun.$run"
  ask_facts || fail 1 "nothing is held: $(first_error)"
  odd=$(oddity "$method")
  [[ -z $odd ]] || fail 1 "nothing is held: $odd"
  write_mark
  if [[ $method == backup ]]; then start_backup; else checkpoint; fi
  write_out
  printf '%s\n' "$method $started $system $timeline $redo $redo_file" >"begun.$run" && tell_what_is_held && return
  end_session
  fail 1 "nobody listens any more, or $state_folder cannot be written to: nothing is held"
}

# --- after ---

# Asks the session for the label. It has one only if backup mode was held all the time.
stop_backup() {
  local start id owner word said_id said_owner
  read -r holder start _ id _ version owner <hold
  # A before that was killed while it waited for the checkpoint: there is nobody to ask, and no time to lose.
  [[ -e held && $owner == "$run" ]] && same_process "$holder" "$start" || return 1
  exec 7<>in 8<>out
  tell "$(stop_statements)"
  answer stopped 5 || return 1
  read -r word said_id said_owner held_seconds start_lsn stop_lsn stop_file label map <<<"$line"
  [[ $word == stopped && $said_id == "$id" && $said_owner == "$run" && -n $map ]] || return 1
  printf 'held %s\n' "$held_seconds $start_lsn $stop_lsn $stop_file $label $map" >"ended.$run" &&
    mkdir -p "label.$run" && tell_file "$label" >"label.$run/backup_label" &&
    { [[ $map == - ]] || tell_file "$map" >"label.$run/tablespace_map"; } ||
    printf 'postgresql: the label cannot be kept in %s: keep what is printed here\n' "$state_folder" >&2
}

tell_file() { base64 -d <<<"$1"; }

tell_label() {
  printf 'backup mode was held for %s s and is ended: from %s to %s, which is in %s\n' \
    "$held_seconds" "$start_lsn" "$stop_lsn" "$stop_file"
  printf -- '--- backup_label\n%s\n--- end\n' "$(tell_file "$label")"
  [[ $map == - ]] || printf -- '--- tablespace_map\n%s\n--- end\n' "$(tell_file "$map")"
}

# What can be proven where nothing is held: the same server ran all the time, and wrote as a recovery needs it.
prove_checkpoint() {
  local was_started was_system was_timeline was_redo odd
  [[ -r begun.$run ]] || { reason='no checkpoint is on record for this run'; return 1; }
  read -r _ was_started was_system was_timeline was_redo _ <"begun.$run"
  ask_facts || { reason="the server does not answer: $(first_error)"; return 1; }
  odd=$(oddity checkpoint)
  if [[ $system != "$was_system" || $timeline != "$was_timeline" ]]; then
    reason='another server, or another timeline, answers now than before the snapshots'
  elif [[ $started != "$was_started" ]]; then
    reason='the server was started anew meanwhile'
  elif [[ -n $odd ]]; then
    reason=$odd
  elif ! reaches "$redo" "$was_redo"; then
    reason="recovery would now begin at $redo, before the checkpoint at $was_redo"
  else
    printf 'nothing was held, and the server ran all the time: a copy recovers from %s or later\n' "$was_redo"
    return
  fi
  return 1
}

after() {
  local argument=$1 word='' how=$method proven=no reason='backup mode was NOT held until now'
  take_turn after
  [[ ! -r begun.$run ]] || read -r how _ <"begun.$run"
  # Said once already, and the answer was lost, or the caller died: it is said again.
  [[ ! -e hold && -s ended.$run ]] && read -r word held_seconds start_lsn stop_lsn stop_file label map <"ended.$run"
  [[ -e ended.$run ]] || : >"ended.$run"
  if [[ $how == backup ]]; then
    [[ $word != held ]] || proven=yes
    [[ $proven == no && -e hold ]] && stop_backup && proven=yes
  fi
  # An answer "stopped" is the server's word; a full server may refuse the second session that looks.
  end_session || [[ $proven == yes ]] || fail 3 "the session cannot be ended: it ends by itself at its deadline"
  rm -f hold
  if [[ $how == backup && $proven == yes ]]; then
    tell_label
    return
  fi
  [[ $how == checkpoint && $argument == 1 ]] && prove_checkpoint && return
  rm -f "begun.$run" # nothing may be removed by a position for which nobody can vouch
  if [[ $argument == 1 ]] && ((attempt == 1)); then
    fail 1 "$reason: the snapshots are not proven consistent; nothing is held now"
  fi
  printf 'nothing is held\n'
}

# --- complete ---

# A label without the write-ahead log from start to stop is worth nothing.
wait_for_archive() {
  local held until=$((SECONDS + archive_seconds)) archived
  read -r held _ _ _ stop_file _ <"ended.$run"
  [[ $held == held && $stop_file =~ ^[0-9A-F]{24}$ ]] ||
    fail 1 "no end of the backup is on record for run $run: nothing is removed"
  while ((SECONDS <= until)); do
    archived=$(sql 10 "SELECT current_setting('archive_mode') || ' ' ||
      coalesce((left(last_archived_wal, 24) COLLATE \"C\" >= '$stop_file')::text, '') FROM pg_stat_archiver" 2>errors) ||
      fail 1 "it cannot be seen whether $stop_file is in the archive: $(first_error)"
    case $archived in
      off*) printf 'archive_mode is off: see yourself that %s is kept, or the label is worth nothing\n' "$stop_file" && return ;;
      *true) printf 'the archive has %s: the label can be used\n' "$stop_file" && return ;;
    esac
    sleep 0.2 9>&-
  done
  fail 1 "the archive has not got $stop_file yet, and until it has, the label cannot be used: nothing is removed"
}

complete() {
  local how start_file
  take_turn complete
  [[ $1 == 1 ]] || { printf 'the backup did not succeed: nothing is removed from the archive\n'; return; }
  [[ -r begun.$run ]] || fail 1 "no position is on record for run $run: nothing is removed"
  read -r how _ _ _ _ start_file <"begun.$run"
  [[ $start_file =~ ^[0-9A-F]{24}$ ]] || fail 1 "the recorded position is damaged: nothing is removed"
  [[ $how == checkpoint ]] || wait_for_archive
  [[ -n $archive_folder ]] || { printf 'no archive_folder is set: nothing is removed\n'; return; }
  "$archivecleanup" "$archive_folder" "$start_file" || fail 1 "$archive_folder could not be cleaned up"
  printf 'what is older than %s is removed from %s\n' "$start_file" "$archive_folder"
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
