#!/bin/bash
# Freezes, proves and thaws: the part that runs where the file systems are mounted. before, after and complete call it, over
# SSH or on the spot, as `bash fsfreeze-mounts.sh before|after 0|1|complete 0|1 -- MOUNT POINT…`, with the other names of
# fsfreeze.conf in its environment.
#
# Whoever writes to a frozen file system waits until it thaws, and no signal ends it. So from the first freeze on nothing here
# writes anywhere but into $state_folder, which is memory; all of this text is read before `main` begins; and whatever may
# hang is a process of its own that is listened to for a few seconds and never waited for.
#
# Before the first freeze the auto-thaw stands ready: a process in a session of its own that thaws at the deadline, whoever
# else is dead. A freeze, too, is a session of its own: it writes down what became of it even when before is killed.
#
# $state_folder/run.<run> says what became of a run: nothing (frozen), ended, or held and for how long.
#
# Exit codes: 0 done; 1 not done, and nothing is frozen any more; 2 the set-up is wrong, nothing was touched;
# 3 it is not known whether something is still frozen: try again, or wait for the deadline.
set -u
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset BASH_ENV
umask 077
trap '' PIPE # when nobody listens any more, printf fails and we can still clean up

run=${N2W_RUN_ID:-by-hand}
attempt=${N2W_ATTEMPT:-1}
: "${state_folder:=/dev/shm/n2w-fsfreeze}" "${write_out_seconds:=15}" "${freeze_seconds:=5}" "${deadline_seconds:=75}"
margin_seconds=15
fsfreeze=$(command -v fsfreeze)

# Over SSH both files are sent as one text.
# shellcheck source=docs/recipes/fsfreeze/fsfreeze-hold.sh
[[ $(type -t thaw_all) == function ]] || . "$(dirname -- "${BASH_SOURCE[0]}")/fsfreeze-hold.sh" || exit 2

fail() {
  printf 'fsfreeze: %s\n' "$2" >&2
  exit "$1"
}

# --- set-up ---

# `trouble` says why it fails.
open_state_folder() {
  trouble="state_folder must begin with /, not be '$state_folder'"
  [[ $state_folder == /* ]] || return
  [[ -d $state_folder ]] || mkdir -m 700 -- "$state_folder" 2>/dev/null
  trouble="the folder $state_folder on $HOSTNAME cannot be made or belongs to another account"
  [[ -d $state_folder && ! -L $state_folder && -O $state_folder ]] || return
  trouble="the state_folder $state_folder is not in memory: take one on a tmpfs, such as /dev/shm"
  [[ $(stat -f -c %T -- "$state_folder") == @(tmpfs|ramfs) ]]
}

check_settings() {
  local name
  [[ $run =~ ^[A-Za-z0-9._-]{1,64}$ ]] || fail 2 "N2W_RUN_ID may have letters, digits, dot, dash and underscore only"
  [[ $attempt =~ ^[0-9]+$ ]] || fail 2 "N2W_ATTEMPT must be a number, not '$attempt'"
  for name in fsfreeze setsid flock stat mountpoint sync mktemp find id; do
    command -v "$name" >/dev/null || fail 2 "the program $name is missing on $HOSTNAME"
  done
  cd / || exit 2
}

kind_of() { # $1: major:minor, as the kernel's list of mounts has it
  local device rest found=unknown
  while read -r _ _ device rest; do
    [[ $device == "$1" ]] && rest=${rest##* - } && found=${rest%% *}
  done </proc/self/mountinfo
  printf '%s\n' "$found"
}

# Each must be there, may be frozen by us and thawed again, and counts its writes. One file system is kept once.
check_mounts() {
  local name mount number device kind place queue seen=() kept=() needed
  needed=(/ /usr /etc /var /var/log /tmp /run /dev "$state_folder" "$BASH" "$fsfreeze")
  # SSM's agent writes each command there before it runs it: after would never start.
  [[ ${N2W_BY:-} != ssm ]] || needed+=(/var/lib/amazon/ssm /var/log/amazon/ssm /var/snap/amazon-ssm-agent)
  for name in write_out_seconds freeze_seconds deadline_seconds; do
    [[ ${!name} =~ ^[1-9][0-9]{0,4}$ ]] || fail 2 "$name must be a whole number from 1 on, not '${!name}'"
  done
  ((${#mounts[@]})) || fail 2 "mounts names no mount point"
  for mount in "${mounts[@]}"; do
    [[ $mount == /* && $mount != *[[:cntrl:]]* ]] || fail 2 "a mount point must begin with / and have no control characters: '$mount'"
    { device=$(mountpoint -d -- "$mount" 2>/dev/null) && number=$(stat -c %d -- "$mount"); } ||
      fail 2 "$mount is not a mount point on $HOSTNAME: mount its file system, or correct mounts"
    for place in "${needed[@]}"; do
      [[ $(stat -L -c %d -- "$place" 2>/dev/null) != "$number" ]] ||
        fail 2 "$mount cannot be frozen: $place lies on the same file system, and logging in and thawing need it"
    done
    kind=$(kind_of "$device")
    [[ $kind == @(xfs|ext4) ]] || fail 2 "$mount is of the kind $kind: only xfs and ext4 can be frozen with this recipe"
    [[ -r /sys/dev/block/$device/stat ]] || fail 2 "the kernel shows no counters for the disk of $mount ($device)"
    for queue in "/sys/dev/block/$device/queue/iostats" "/sys/dev/block/$device/../queue/iostats"; do
      [[ ! -r $queue || $(<"$queue") == 1 ]] || fail 2 "the disk of $mount counts no writes, so nothing could be proven: write 1 to $(readlink -f "$queue")"
    done
    if [[ -n ${seen[number]:-} ]]; then
      printf '%s is the same file system as %s: it is frozen once\n' "$mount" "${seen[number]}"
      continue
    fi
    seen[number]=$mount
    kept+=("$mount")
    may_be_thawed "$mount"
  done
  mounts=("${kept[@]}")
}

may_be_thawed() {
  local action
  ((EUID == 0)) && return
  command -v sudo >/dev/null || fail 2 "$(id -un) is not root, and sudo is missing on $HOSTNAME"
  for action in --unfreeze --freeze; do
    sudo -n -l "$fsfreeze" "$action" "$1" >/dev/null 2>&1 ||
      fail 2 "$(id -un) may not run 'sudo $fsfreeze $action $1' on $HOSTNAME without a password"
  done
}

# One of us at a time. after may end a before that is still at work here although its caller is dead.
take_turn() {
  local pid start phase began
  exec 9>>"$state_folder/turn"
  if [[ $1 == after ]] && ! flock -n 9 && read -r pid start phase <"$state_folder/turn"; then
    [[ $phase == before ]] && same_process "$pid" "$start" && kill -KILL "$pid"
  fi
  flock -w 8 9 || fail 3 "another before or after is at work in $state_folder on $HOSTNAME"
  start_of $$
  printf '%s %s %s\n' $$ "$began" "$1" >"$state_folder/turn"
}

release_earlier() {
  local folder
  for folder in "$state_folder"/hold.*; do
    [[ -d $folder ]] || continue
    printf 'fsfreeze: an earlier run left file systems frozen, or its record: they are thawed now\n' >&2
    load_hold "$folder"
    release || fail 3 "nothing new is frozen: what an earlier run froze is still to be thawed: $trouble"
  done
}

# --- before ---

# An account that may not open the mount point may still write out everything.
# shellcheck disable=SC2329 # called by name
write_out_one() {
  sync --file-system "$1" || sync
}

# The long part, while everybody can still work. Twice: what came in during the first time makes the freeze long.
write_out() {
  local now until answer mount
  clock
  until=$((now + write_out_seconds * 100))
  for mount in "${mounts[@]}" "${mounts[@]}"; do
    begin write_out_one "$mount"
    hear "$answer" $(((until - now + 99) / 100)) ||
      fail 1 "nothing is frozen: $mount could not be written out within $write_out_seconds s"
    clock
  done
}

freeze() { # $1: number; `trouble` says why it fails
  local answer said code
  exec {answer}< <(exec setsid "$BASH" -c 'freezer "$@"; exit' n2w-freezer "$hold" "$1" "${mounts[$1]}" 2>&1 </dev/null 9>&-)
  hear_freezer "$answer" "$1" && return
  trouble="${mounts[$1]} could not be frozen: ${said:-no answer within $freeze_seconds s}"
  [[ $said != *'busy'* ]] || trouble="${mounts[$1]} is frozen already by somebody else, and is left so"
  return 1
}

# The freezer says what fsfreeze said and ends; its result is in memory.
hear_freezer() {
  hear "$1" "$freeze_seconds"
  local result=''
  { read -r result said <"$hold/result.$2"; } 2>/dev/null
  [[ $result == 0 ]]
}

# Writes the run's mark to each file system, where a proof looks for it: the newest hundred, in n2wbackup_marks. Without it
# the backup is as good, so a mark that cannot be written is said and no reason to stop.
# shellcheck disable=SC2329 # called by name
mark_one() {
  local file=$1/n2wbackup_marks earlier='' new
  [[ ! -f $file || -L $file ]] || earlier=$(tail -n 99 -- "$file")
  new=$(mktemp -- "$1/.n2wbackup_marks.XXXXXX") && chmod 644 -- "$new" &&
    printf '%s\n' ${earlier:+"$earlier"} "$N2W_MARK $EPOCHSECONDS" >"$new" && mv -fT -- "$new" "$file"
}

write_mark() {
  local mount answer
  [[ -n ${N2W_MARK:-} ]] || return 0
  [[ $N2W_MARK =~ ^[A-Za-z0-9-]{1,64}$ ]] || fail 2 "N2W_MARK may have letters, digits and dash only"
  for mount in "${mounts[@]}"; do
    begin mark_one "$mount"
    hear "$answer" 5 && [[ $code == 0 ]] ||
      printf 'no mark is written to %s, so no proof can find it: %s\n' "$mount" "${said:-no answer within 5 s}"
  done
}

undo() { # $1: what went wrong
  if release; then
    record nothing
    fail 1 "$1: nothing is frozen"
  fi
  fail 3 "$1; and it is not known whether all is thawed: $trouble"
}

record() {
  printf '%s\n' "$*" >"$state_folder/run.$run"
}

before() {
  local n status='' now writes deadline deadline_after=$deadline_seconds
  clock
  [[ ${N2W_SECONDS_LEFT:-} =~ ^([0-9]+) ]] && deadline_after=$((10#${BASH_REMATCH[1]} + margin_seconds))
  deadline=$((now + deadline_after * 100))
  take_turn before
  # A before that comes after its own after (a slow network) would freeze and nobody would thaw.
  [[ $run == by-hand ]] || { read -r status <"$state_folder/run.$run"; } 2>/dev/null
  [[ -z $status ]] || fail 1 "run $run has ended already: nothing is frozen"
  find "$state_folder" -maxdepth 1 -name 'run.*' -mtime +14 -delete
  record nothing || fail 2 "nothing is frozen: $state_folder cannot be written to"
  check_mounts
  release_earlier
  write_mark
  write_out
  make_hold || fail 1 "nothing is frozen: $state_folder cannot be written to"
  arm || undo "the auto-thaw could not be started"
  clock
  local began_at=$now
  for n in "${!mounts[@]}"; do
    freeze "$n" || undo "$trouble"
  done
  for n in "${!mounts[@]}"; do
    { count_writes "$n" && printf '%s\n' "$writes" >"$hold/writes.$n"; } || undo "the disk of ${mounts[n]} cannot be watched"
  done
  keeper_lives && [[ ! -e $hold/fired ]] || undo "the auto-thaw has ended"
  printf '%s\n' "$began_at" >"$hold/frozen" || undo "$state_folder cannot be written to"
  printf 'frozen: %s; without after thawed %s s after before began\n' "${mounts[*]}" "$deadline_after" ||
    undo "nobody listens any more"
}

# --- after ---

# True when all that this run froze has stood still until now. Asked before the thaw; the thaw itself is the last witness.
seems_held() {
  local n noted writes
  [[ $hold_run == "$run" && -s $hold/frozen ]] || { doubt="this run's before had not ended"; return 1; }
  [[ ! -e $hold/fired ]] || { doubt="the auto-thaw was quicker"; return 1; }
  for n in "${!held[@]}"; do
    noted=''
    { read -r noted <"$hold/writes.$n"; } 2>/dev/null
    count_writes "$n" && [[ $writes == "$noted" ]] || { doubt="the disk of ${held[n]} was written to"; return 1; }
  done
}

was_thawed_now() {
  local n
  for n in "${!held[@]}"; do
    [[ ${thawed[n]:-} == yes ]] || { doubt="${held[n]} was not frozen any more"; return 1; }
  done
}

release_hold() { # $1: its folder; notes in `held_for` what is proven
  local now began_at=0 seemed=no
  load_hold "$1"
  seems_held && seemed=yes
  { read -r began_at <"$hold/frozen"; } 2>/dev/null
  release || return 1
  clock
  [[ $seemed == yes ]] && was_thawed_now &&
    held_for=$(printf '%d.%02d' $(((now - began_at) / 100)) $(((now - began_at) % 100)))
  return 0
}

# Without any record, as after the loss of $state_folder, what is configured is thawed, whoever froze it.
release_unknown() {
  hold=$state_folder/lost held=() thawed=()
  local mount
  for mount in "${mounts[@]}"; do
    ! mountpoint -q -- "$mount" || held+=("$mount")
  done
  doubt="its record is lost"
  thaw_all || fail 3 "there is no record of run $run on $HOSTNAME, and $trouble"
}

conclude() { # $1: after's argument
  if [[ $1 == 1 ]] && ((attempt == 1)); then
    fail 1 "the file systems were NOT frozen until now ($doubt): the snapshots are not consistent; nothing is frozen now"
  fi
  printf 'nothing is frozen\n'
}

after() {
  local argument=$1 folder status='' held_for='' doubt="nothing was frozen any more" left=''
  if ! open_state_folder; then
    printf 'fsfreeze: %s\n' "$trouble" >&2
    release_unknown
    conclude "$argument"
    return
  fi
  take_turn after
  { read -r status <"$state_folder/run.$run"; } 2>/dev/null
  # Said once already, and the answer was lost, or the caller died: it is said again.
  [[ $status != 'held '* ]] || held_for=${status#held }
  [[ -n $held_for ]] || record ended
  for folder in "$state_folder"/hold.*; do
    [[ -d $folder ]] || continue
    status=${status:-hold}
    release_hold "$folder" || left+=${left:+; }$trouble
  done
  [[ -z $left ]] || fail 3 "not everything is thawed yet: $left"
  [[ -n $status ]] || release_unknown
  if [[ -n $held_for ]]; then
    record "held $held_for"
    printf 'the file systems were frozen for %s s until now and are thawed\n' "$held_for"
    return
  fi
  conclude "$argument"
}

complete() {
  local status=''
  { read -r status <"$state_folder/run.$run"; } 2>/dev/null
  if [[ $status == 'held '* ]]; then
    printf 'the file systems were frozen for %s s; there is nothing to clean up\n' "${status#held }"
  else
    printf 'no proven freeze is on record for this run; there is nothing to clean up\n'
  fi
}

main() {
  local phase=${1:-} argument=''
  [[ ${2:-} == -- ]] || { argument=${2:-} && shift; }
  shift 2
  mounts=("$@")
  check_settings
  case "$phase $argument" in
    'before ') open_state_folder || fail 2 "$trouble"; before ;;
    'after 0' | 'after 1') after "$argument" ;;
    'complete 0' | 'complete 1') complete ;;
    *) fail 2 "$phase needs the argument 0 or 1" ;;
  esac
}

main "$@"; exit
