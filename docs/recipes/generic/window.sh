#!/bin/bash
# shellcheck disable=SC2154 # the settings come from application.conf
# The window around the hooks of application.sh. before, after and complete call it as
# `bash window.sh before|after 0|1|complete 0|1`; it starts itself once more as `… auto-thaw RUN SECONDS`. Nothing in it is about
# one application.
#
# Everything here is read before anything is frozen (the last line calls main), and what is remembered lies in memory, in
# $state_folder: nobody waits for a frozen disk, unless a hook does.
#
# Exit codes: 0 done; 1 not done, and nothing is frozen; 2 the set-up is wrong, nothing was touched;
# 3 the application could not be thawed: try again; the auto-thaw tries, too.
set -u
umask 077
trap '' PIPE # when nobody listens any more, printf fails and we can still clean up

run=${N2W_RUN_ID:-by-hand}
attempt=${N2W_ATTEMPT:-1}
folder=$(cd -- "$(dirname -- "$0")" && pwd)

fail() {
  printf '%s: %s\n' "${application:-generic}" "$2" >&2
  exit "$1"
}

# A process is its number and its start time: numbers are used again. Prints nothing once it is gone, and a zombie is gone.
start_of() {
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" || return
  read -ra stat <<<"${stat##*) }" # what stands before is its number and its name
  [[ ${stat[0]} == [ZX] ]] || printf '%s' "${stat[19]}"
}
same_process() { [[ -n $2 && $(start_of "$1") == "$2" ]]; }

check_set_up() {
  local need
  # On an instance all of it is one file.
  if ! declare -F is_frozen >/dev/null; then
    for need in application.conf application.sh; do
      # shellcheck source=/dev/null
      . "$folder/$need" || fail 2 "$folder/$need cannot be read"
    done
  fi
  [[ $run =~ ^[A-Za-z0-9._-]{1,64}$ ]] || fail 2 "N2W_RUN_ID may have letters, digits, dot, dash and underscore only"
  [[ ${application:-} =~ ^[A-Za-z0-9_-]{1,64}$ ]] || fail 2 "application may have letters, digits, dash and underscore only"
  for need in attempt freeze_wait_seconds thaw_wait_seconds deadline_seconds; do
    [[ ${!need:-} =~ ^[0-9]+$ ]] || fail 2 "$need must be a number, not '${!need:-}'"
  done
  for need in freeze is_frozen thaw write_out clean_up; do
    declare -F "$need" >/dev/null || fail 2 "application.sh has no hook $need"
  done
  for need in setsid flock cut; do
    command -v "$need" >/dev/null || fail 2 "the program $need is missing"
  done
  # Whoever can write there could make us believe in a freeze: it must be ours alone.
  local mine=/dev/shm/n2w-generic-$UID
  mkdir -m 700 "$mine" 2>/dev/null || [[ -O $mine && ! -L $mine ]] || fail 2 "$mine is not ours"
  state_folder=$mine/$application
  { mkdir -p "$state_folder" && cd "$state_folder"; } || fail 2 "the folder $state_folder cannot be used"
}

# A hook that exits ends itself alone, and does not get the lock of take_turn: what it leaves behind would keep it.
hook() { ("$@") </dev/null 9>&-; }

# Asks is_frozen for two seconds at most: one that hangs must not delay the thaw, and proves nothing.
looks_frozen() {
  local answer=''
  read -r -t 2 answer < <(exec 9>&-; hook is_frozen >&2 && echo yes)
  [[ $answer == yes ]]
}

# Succeeds once the application is $1, frozen or thawed; fails after $2 seconds.
wait_for() {
  local until=$((SECONDS + $2)) wanted=$1
  until if [[ $wanted == frozen ]]; then looks_frozen; else ! looks_frozen; fi; do
    ((SECONDS < until)) || return 1
    sleep 0.1 9>&-
  done
}

# Ends a before that is still at work although nobody waits for it, with its group, so that a hook of it does not freeze late.
end_before() {
  local pid start phase
  read -r pid start phase <turn && [[ $phase == before ]] && same_process "$pid" "$start" || return 0
  # By hand, in a script, it may not lead a group.
  kill -KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null
}

# One of us at a time.
take_turn() {
  exec 9>>turn
  [[ $1 != after ]] || flock -n 9 || end_before
  flock -w 8 9 || fail 3 "another before, after or complete is at work on $application"
  printf '%s %s %s\n' $$ "$(start_of $$)" "$1" >turn
}

# --- the auto-thaw ---

# Leaves a process behind that thaws at the deadline, in a session of its own. Succeeds only when it says that it is ready:
# it has read all that it needs, and from then on no one can keep it from thawing but disarm.
arm() {
  local until=$((SECONDS + 5))
  rm -f armed lost expired
  setsid bash "$folder/${0##*/}" auto-thaw "$run" "$1" </dev/null >log 2>&1 9>&- &
  disown
  until [[ -s armed ]]; do
    ((SECONDS < until)) || { kill -KILL "$!"; return 1; }
    sleep 0.02 9>&-
  done
}

disarm() {
  local pid start
  [[ -s armed ]] && read -r pid start <armed && same_process "$pid" "$start" && kill -KILL -- "-$pid" 2>/dev/null
  rm -f armed
}

is_armed() {
  local pid start
  [[ -s armed ]] && read -r pid start <armed && same_process "$pid" "$start"
}

auto_thaw() { # $1: seconds
  local pause
  trap '' HUP INT TERM
  # Beside the clock, not in it: an is_frozen that hangs must not delay the thaw.
  watch &
  printf '%s %s\n' $$ "$(start_of $$)" >armed
  sleep "$1"
  : >expired
  end_before
  for pause in 1 2 5 10 30 60 60 60 60 60 60 60 60 60 60 60; do
    hook thaw && wait_for thawed "$thaw_wait_seconds" && break
    sleep "$pause"
  done
  kill -KILL -- "-$$"
}

# Notes when the application was not frozen in between. It looks only once before has said that it is.
watch() {
  while sleep 0.5 && kill -0 $$; do
    [[ ! -e frozen ]] || looks_frozen || { [[ -e frozen ]] && : >lost; }
  done
}

# --- the phases ---

# Thaws, checks it, and only then calls the auto-thaw off.
let_go() {
  hook thaw && wait_for thawed "$thaw_wait_seconds" || return 1
  rm -f hold frozen
  disarm
}

give_up() {
  trap '' HUP INT TERM
  let_go || fail 3 "$1; and it could not be thawed: the auto-thaw tries again at the deadline"
  fail 1 "$1: it is not frozen"
}

mark() {
  [[ -n ${N2W_MARK:-} ]] && declare -F write_mark >/dev/null || return 0
  [[ $N2W_MARK =~ ^[A-Za-z0-9-]{1,64}$ ]] || fail 2 "N2W_MARK may have letters, digits and dash only"
  hook write_mark || printf '%s: no mark is written, so no proof can find it\n' "$application"
}

before() {
  local deadline=$deadline_seconds
  [[ ${N2W_SECONDS_LEFT:-} =~ ^([0-9]+) ]] && deadline=$((BASH_REMATCH[1] + 15))
  take_turn before
  # A before that comes after its own after would freeze and nobody would thaw.
  [[ $run != by-hand ]] || rm -f ended.by-hand
  [[ ! -e ended.$run ]] || fail 1 "run $run has ended already: it is not frozen"
  if [[ -e hold ]]; then
    printf '%s: an earlier run left it frozen: it is thawed now\n' "$application" >&2
    let_go || fail 3 "what an earlier run froze could not be thawed"
  fi
  find . -maxdepth 1 -name 'ended.*' -mtime +14 -delete
  mark
  hook write_out || fail 1 "it could not be written out: it is not frozen" # the long part, while everybody can still work
  trap 'give_up interrupted' HUP INT TERM
  arm "$deadline" || { disarm; fail 1 "the auto-thaw could not be armed: it is not frozen"; }
  printf '%s\n' "$run" >hold
  hook freeze || give_up "freeze failed"
  wait_for frozen "$freeze_wait_seconds" || give_up "it did not stop within $freeze_wait_seconds s"
  hook write_out || give_up "it could not be written out"
  looks_frozen || give_up "it did not stay frozen"
  printf '%s %s\n' "$run" "$EPOCHREALTIME" >frozen
  is_armed || give_up "the auto-thaw has gone"
  printf '%s is frozen; without after it is thawed %s s after before began\n' "$application" "$deadline" && return
  give_up "nobody listens any more"
}

# Says in `doubt` why nobody can vouch for the freeze; nothing when somebody can.
look_for_doubt() {
  local owner='' since=''
  [[ ! -e frozen ]] || read -r owner since <frozen
  doubt=
  if [[ $owner != "$run" ]]; then
    doubt="it was not frozen by this run, or thawed meanwhile"
  elif [[ -e expired ]] || ! is_armed; then
    doubt="the auto-thaw did not wait"
  elif [[ -e lost ]] || ! looks_frozen; then
    doubt="it was not frozen all the time"
  fi
  [[ -n $doubt ]] || seconds=$(((${EPOCHREALTIME/./} - ${since/./}) / 1000))
}

after() {
  local argument=$1 doubt='' seconds='' owner='' said
  take_turn after
  [[ ! -e hold ]] || read -r owner <hold
  # Said once already, and the answer was lost, or the caller died: it is said again.
  if [[ -s ended.$run && $owner != "$run" ]]; then
    printf '%s\n' "$(<"ended.$run")"
    return
  fi
  look_for_doubt
  [[ -e ended.$run ]] || : >"ended.$run"
  # Thawed even when nothing is on record: what froze it may have outlived a reboot, which our memory did not.
  let_go || fail 3 "it could not be thawed: try again; the auto-thaw tries at the deadline"
  if [[ -z $doubt ]]; then
    printf -v said '%s was frozen for %d.%03d s and is thawed' "$application" $((seconds / 1000)) $((seconds % 1000))
    printf '%s\n' "$said" >"ended.$run"
    printf '%s\n' "$said"
    return
  fi
  if [[ $argument == 1 ]] && ((attempt == 1)); then
    fail 1 "it was NOT frozen until now: $doubt; the snapshots are not consistent; it is not frozen now"
  fi
  printf '%s is not frozen\n' "$application"
}

complete() {
  local argument=$1
  take_turn complete
  if [[ $argument != 1 ]]; then
    printf 'the backup did not succeed: nothing is cleaned up\n'
    return
  fi
  [[ -s ended.$run ]] || fail 1 "no freeze of run $run is on record: nothing is cleaned up"
  hook clean_up || fail 1 "clean_up failed"
  printf 'cleaned up\n'
}

main() {
  check_set_up
  case "$1 ${2:-}" in
    'before ') before ;;
    'after 0' | 'after 1') after "$2" ;;
    'complete 0' | 'complete 1') complete "$2" ;;
    'auto-thaw '*) auto_thaw "$3" ;;
    *) fail 2 "$1 needs the argument 0 or 1" ;;
  esac
}

main "$@"
exit
