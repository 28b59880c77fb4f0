#!/bin/bash
# Holds, proves and releases: the part that runs where the database's client is. before, after and complete call it, over
# SSH or on the spot, as `bash redis-session.sh before|after 0|1|complete 0|1`, with the names of n2w-redis.conf in its
# environment. It keeps what it must remember in $state_folder.
#
# CLIENT PAUSE holds the writes, and the server itself ends it at its deadline, whoever has died. No setting of the server is
# changed, so none has to be put back, and no process is left behind.
#
# Exit codes: 0 done; 1 not done, and nothing is held any more; 2 the set-up is wrong, nothing was touched;
# 3 it is not known whether something is still held: try again, or wait for the deadline.
set -u
export LC_ALL=C
unset REDISCLI_AUTH
umask 077
trap '' PIPE # when nobody listens any more, printf fails and we can still clean up

run=${N2W_RUN_ID:-by-hand}
attempt=${N2W_ATTEMPT:-1}
: "${client:=redis-cli}" "${hold:=auto}" "${state_folder:=.n2wbackup}" "${option_file:=.n2wbackup-redis}"
: "${data_folder=/var/lib/redis}" "${deadline_seconds:=75}"
tries=3
declare -A info option

fail() {
  printf 'redis: %s\n' "$2" >&2
  exit "$1"
}

# A process is its number and its start time: numbers are used again. Prints nothing once the process is gone.
start_of() { cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null; }
same_process() { [[ -n $2 && $(start_of "$1") == "$2" ]]; }

check_set_up() {
  [[ $run =~ ^[A-Za-z0-9._-]{1,64}$ ]] || fail 2 "N2W_RUN_ID may have letters, digits, dot, dash and underscore only"
  [[ $attempt =~ ^[0-9]+$ ]] || fail 2 "N2W_ATTEMPT must be a number, not '$attempt'"
  [[ $deadline_seconds =~ ^[0-9]+$ ]] || fail 2 "deadline_seconds must be a number, not '$deadline_seconds'"
  [[ $hold =~ ^(auto|yes|no)$ ]] || fail 2 "hold must be auto, yes or no, not '$hold'"
  local need
  for need in "$client" timeout flock; do
    command -v "$need" >/dev/null || fail 2 "the program $need is missing on $(uname -n)"
  done
  cd || fail 2 "the home folder cannot be entered"
  [[ $option_file == /* ]] || option_file=$HOME/$option_file
  [[ -r $option_file ]] || fail 2 "the option file $option_file cannot be read on $(uname -n)"
  [[ -z $(find -L "$option_file" -perm /077) ]] || fail 2 "others can read $option_file: run chmod 600 on it"
  read_options
  { mkdir -p -- "$state_folder" && cd -- "$state_folder"; } || fail 2 "the folder $state_folder cannot be used"
}

read_options() {
  local line
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $line =~ ^(user|password|host|port|socket|tls|cacert)=(.*)$ ]]; then
      option[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
    elif [[ $line =~ ^[^#] ]]; then # not shown: it may hold a password
      fail 2 "$option_file: a line is neither user=, password=, host=, port=, socket=, tls= nor cacert="
    fi
  done <"$option_file"
  server=(-h "${option[host]:-127.0.0.1}" -p "${option[port]:-6379}")
  [[ -z ${option[socket]:-} ]] || server=(-s "${option[socket]}")
  [[ ${option[tls]:-no} != yes ]] || server+=(--tls)
  [[ -z ${option[cacert]:-} ]] || server+=(--cacert "${option[cacert]}")
}

# The client reads the password from its input: it is on no command line and in no environment.
log_in() {
  local word quoted=()
  [[ -n ${option[password]:-} ]] || return 0
  for word in ${option[user]:+"${option[user]}"} "${option[password]}"; do
    word=${word//\\/\\\\}
    quoted+=("\"${word//\"/\\\"}\"")
  done
  printf 'AUTH %s\n' "${quoted[*]}"
}

# Sends commands, one an argument, over one connection and puts the answers in `reply`. Fails, with the reason in `complaint`,
# when one of them is refused. It keeps the turn (descriptor 9) to its end: an after that had to end us waits for it.
ask() {
  reply=$({ log_in; printf '%s\n' "$@"; } | timeout 8 "$client" "${server[@]}" 2>&1) || reply+=$'\nERR no answer'
  reply=${reply//$'\r'/}
  complaint=$(grep -m 1 -E '^([A-Z]{2,} .|Could not|Error|AUTH failed|Invalid)' <<<"$reply") && return 1
  [[ -z ${option[password]:-} ]] || reply=${reply#OK$'\n'}
}

read_info() {
  local line
  ask INFO "$@" || return 1
  info=()
  while IFS= read -r line; do
    [[ $line =~ ^([a-z_]+):(.*)$ ]] && info[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
  done <<<"$reply"
  [[ -n ${info[run_id]:-} ]] || { complaint="the server did not answer INFO"; return 1; }
}

# One of us at a time. after may end a before that is still at work here although its caller is dead.
take_turn() {
  local pid start
  exec 9>>turn
  if [[ $1 == after ]] && ! flock -n 9 && read -r pid start <turn; then
    same_process "$pid" "$start" && kill -KILL "$pid"
  fi
  flock -w 9 9 || fail 3 "another before, after or complete is at work in $state_folder on $(uname -n)"
  printf '%s %s\n' $$ "$(start_of $$)" >turn
}

# --- before ---

write_out() {
  [[ -n $data_folder ]] || return 0
  sync -f -- "$data_folder" 2>/dev/null 9>&- || sync 9>&-
}

is_rewriting() { [[ ${info[aof_rewrite_in_progress]}${info[aof_rewrite_scheduled]} != 00 ]]; }

give_up() {
  release || fail 3 "$1; and the writes cannot be released: that ends by itself at its deadline ($complaint)"
  fail 1 "$1: nothing is held"
}

# Succeeds once the server says that nobody is held. Without a hold of ours on record there is nothing to do.
release() {
  [[ -e hold ]] || return 0
  ask 'CLIENT UNPAUSE' && rm -f hold
}

look_at_server() {
  read_info || fail 1 "nothing is held: $complaint"
  [[ -n ${info[aof_rewrites]:-} ]] || fail 1 "nothing is held: this needs Redis 7.0 or Valkey, the server is ${info[redis_version]}"
  [[ ${info[loading]} == 0 ]] || fail 1 "nothing is held: the server is still loading its data"
  kind=rdb
  [[ ${info[aof_enabled]} == 1 ]] && kind=append-only
  if [[ ${info[role]} != master ]]; then
    [[ $hold != yes ]] || fail 1 "nothing is held: this is a replica, and what its primary sends cannot be held; set hold=no"
    hold=no
  fi
  [[ $hold != auto || $kind == append-only ]] || hold=no
  [[ $hold != auto ]] || hold=yes
  [[ $kind == rdb || -n $data_folder ]] ||
    fail 1 "nothing is held: only on the server's machine can its append-only file be written out; set ssh_to and data_folder"
}

wait_until_idle() { # $1: the names in INFO that must all be 0
  local name busy
  while read_info || give_up "$complaint"; do
    busy=
    for name in $1; do [[ ${info[$name]} == 0 ]] || busy=$name; done
    [[ -n $busy ]] || return 0
    ((SECONDS < patience)) || give_up "the server is still busy after $patience s ($busy)"
    sleep 0.1
  done
}

# Begins the hold; `since` and `ends` are the server's own clock, in microseconds, and never later than the truth.
pause() {
  local milliseconds=$(((deadline - SECONDS) * 1000))
  ((milliseconds > 0)) || give_up "the time is up"
  # On record first: whoever is killed now, after finds it.
  printf '%s %s\n' "$run" $((EPOCHSECONDS + milliseconds / 1000)) >hold || fail 1 "$state_folder cannot be written to: nothing is held"
  read_info "CLIENT PAUSE $milliseconds WRITE" || give_up "$complaint"
  since=${info[server_time_usec]}
  ends=$((since + milliseconds * 1000))
}

# All that was answered is in the file once the server's own buffer is empty. Unless writes are held it may be filled again at
# once; but what is in it is never kept back for more than two seconds.
empty_buffer() {
  local until=$((SECONDS + 4))
  while read_info || give_up "$complaint"; do
    [[ ${info[aof_buffer_length]} != 0 ]] || return 0
    if ((SECONDS >= until)); then
      [[ $hold == no ]] && return 0
      give_up "the server did not write out its append-only file"
    fi
    sleep 0.02
  done
}

copy_append_only() {
  local try
  for ((try = 1; ; try++)); do
    wait_until_idle 'aof_rewrite_in_progress aof_rewrite_scheduled'
    since=${info[server_time_usec]}
    [[ $hold == no ]] || pause
    empty_buffer
    write_out
    read_info || give_up "$complaint"
    is_rewriting || break
    ((try < tries)) || give_up "$tries times the server began to rewrite its append-only file"
    release || give_up "the server began to rewrite its append-only file"
  done
  [[ ${info[aof_last_write_status]} == ok ]] || give_up "the server cannot write its append-only file"
  what="append-only file, ${info[aof_current_size]} bytes"
}

copy_rdb() {
  local saved
  wait_until_idle 'rdb_bgsave_in_progress aof_rewrite_in_progress'
  # The time of the last save, in seconds, must be seen to change.
  while ((info[rdb_last_save_time] >= info[server_time_usec] / 1000000)); do
    sleep 0.1
    wait_until_idle 'rdb_bgsave_in_progress aof_rewrite_in_progress'
  done
  [[ $hold == no ]] || pause
  since=${info[server_time_usec]} saved=${info[rdb_last_save_time]}
  ask BGSAVE || give_up "$complaint"
  wait_until_idle rdb_bgsave_in_progress
  [[ ${info[rdb_last_bgsave_status]} == ok && ${info[rdb_last_save_time]} != "$saved" ]] ||
    give_up "the server could not save its data (BGSAVE): its log says why"
  write_out
  read_info || give_up "$complaint"
  [[ $hold == no || ${info[rdb_changes_since_last_save]} == 0 ]] || give_up "writes came through"
  what="RDB file, saved in ${info[rdb_last_bgsave_time_sec]} s"
}

# Writes the run's mark into the database, where a proof looks for it. Without it the backup is as good, but no proof of it
# reaches level 3, so a mark that cannot be written is said and no reason to stop.
write_mark() {
  local mark=${N2W_MARK:-}
  [[ -n $mark && ${info[role]} == master ]] || return 0
  [[ $mark =~ ^[A-Za-z0-9-]{1,64}$ ]] || fail 2 "N2W_MARK may have letters, digits and dash only"
  ask "LPUSH n2wbackup_marks \"$mark $EPOCHSECONDS\"" 'LTRIM n2wbackup_marks 0 99' ||
    printf 'no mark is written, so no proof can find it: %s\n' "$complaint"
}

before() {
  deadline=$deadline_seconds
  [[ ${N2W_SECONDS_LEFT:-} =~ ^([0-9]+) ]] && deadline=$((BASH_REMATCH[1] + 15))
  patience=25
  [[ ${N2W_TIMEOUT_SECONDS:-} =~ ^([0-9]+) ]] && patience=$((BASH_REMATCH[1] > 8 ? BASH_REMATCH[1] - 5 : 3))
  take_turn before
  # A before that comes after its own after (a slow network) would hold and nobody would release.
  [[ $run != by-hand ]] || rm -f ended.by-hand
  [[ ! -e ended.$run ]] || fail 1 "run $run has ended already: nothing is held"
  [[ ! -e hold ]] || printf 'redis: an earlier run left the writes held: they are released now\n' >&2
  release || fail 3 "what an earlier run holds cannot be released: $complaint"
  trap 'release; fail 1 "interrupted"' HUP INT TERM
  find . -maxdepth 1 \( -name 'copy.*' -o -name 'ended.*' \) -mtime +14 -delete
  rm -f "copy.$run"
  look_at_server
  write_mark
  write_out # the long part, while everybody can still work
  ends=0
  if [[ $kind == append-only ]]; then copy_append_only; else copy_rdb; fi
  say_done
}

say_done() {
  local moment
  [[ $hold == no ]] || ((info[server_time_usec] < ends)) || give_up "the hold ended at its deadline before all was saved"
  moment=$(date -u -d "@$((since / 1000000))" +%Y-%m-%dT%H:%M:%S).$(printf %06d $((since % 1000000)))Z
  what+=", with every write that was answered before $moment"
  printf '%s\n' "$kind $hold ${info[run_id]} $since $ends ${info[aof_current_size]:--} ${info[aof_rewrites]} ${info[rdb_saves]}" \
    "$what" >"copy.$run" || give_up "$state_folder cannot be written to"
  if [[ $hold == yes ]]; then
    printf 'writes are held; without after this ends by itself %s s after it began\n' "$deadline"
  else
    printf 'nothing is held\n'
  fi && printf 'in the copy: %s\n' "$what" && return
  give_up "nobody listens any more"
}

# --- after and complete ---

# Says in `doubt` why the copy cannot be vouched for, nothing when it can. `info` is what the server said before the release.
look_for_doubt() { # $1: whose hold was on record
  local kind held server since ends size rewrites saves
  doubt="before did not come to its end"
  [[ -e copy.$run ]] || return
  read -r kind held server since ends size rewrites saves <"copy.$run"
  doubt=
  if [[ ${info[run_id]} != "$server" ]]; then
    doubt="the server was started anew meanwhile"
  elif [[ $kind == append-only ]] && { is_rewriting || [[ ${info[aof_rewrites]} != "$rewrites" ]]; }; then
    doubt="the append-only file was rewritten meanwhile"
  elif [[ $held == no ]]; then
    return
  elif [[ ${info[role]} != master ]]; then
    doubt="the server became a replica meanwhile"
  elif ((info[server_time_usec] >= ends)); then
    doubt="the writes were NOT held until now: the hold ended at its deadline"
  elif [[ $1 != "$run" || ${info[paused_actions]:-write} == none ]]; then
    doubt="the writes were NOT held until now: somebody else released them"
  elif [[ $kind == append-only && ${info[aof_current_size]} != "$size" ]] ||
    [[ $kind == rdb && ${info[rdb_changes_since_last_save]} != 0 ]] || [[ $kind == rdb && ${info[rdb_saves]} != "$saves" ]]; then
    doubt="the writes were NOT held until now: some came through"
  fi
  held_for=$(printf '%d.%03d' $(((info[server_time_usec] - since) / 1000000)) $(((info[server_time_usec] - since) / 1000 % 1000)))
  [[ $held == yes ]] && word="the writes were held for $held_for s and are released"
}

# Looks and releases in one breath. Fails when the server gives no answer and may still hold.
look_and_release() {
  local owner='' ends=0
  [[ ! -e hold ]] || read -r owner ends <hold
  if read_info ${owner:+'CLIENT UNPAUSE'}; then
    rm -f hold
    look_for_doubt "$owner"
    return 0
  fi
  doubt="the server gave no answer: $complaint"
  # The server, or its next start, has long ended it by itself.
  ((EPOCHSECONDS > ends)) || return 1
  rm -f hold
}

after() {
  local argument=$1 doubt='' word='nothing was held, and the saved data are in place' owner=''
  take_turn after
  [[ ! -e hold ]] || read -r owner _ <hold
  # Said once already, and the answer was lost, or the caller died: it is said again.
  if [[ -s ended.$run && $owner != "$run" ]]; then
    printf '%s\n' "$(<"ended.$run")"
    return
  fi
  [[ -e ended.$run ]] || : >"ended.$run"
  if [[ -n $owner || -e copy.$run ]]; then
    look_and_release || fail 3 "the writes may still be held, until the deadline at the latest: $doubt"
  else
    doubt="before did not come to its end"
  fi
  if [[ -z $doubt ]]; then
    printf '%s\n' "$word" >"ended.$run"
    printf '%s\n' "$word"
    return
  fi
  rm -f "copy.$run"
  if [[ $argument == 1 ]] && ((attempt == 1)); then
    fail 1 "the copy cannot be vouched for: $doubt; nothing is held now"
  fi
  printf 'nothing is held\n'
}

complete() {
  local argument=$1
  take_turn complete
  if [[ $argument != 1 ]]; then
    printf 'the backup did not succeed: there is nothing to clean up\n'
  elif [[ -r copy.$run ]]; then
    printf 'in the copy: %s\n' "$(tail -n 1 "copy.$run")"
  else
    fail 1 "nothing is on record of run $run"
  fi
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
exit
