# shellcheck shell=bash disable=SC2034,SC2154 # fsfreeze-mounts.sh, which sources this, reads and sets the rest
# What fsfreeze-mounts.sh stands on: processes that freeze, thaw and watch, each of its own, and a hold: what one before has
# frozen. A hold is the folder $state_folder/hold.<random>/, in memory, with
#   run                  whose it is
#   mount.<n>, disk.<n>  the mount points in their order, and the numbers of their disks
#   keeper               the auto-thaw, by its own hand
#   freezer.<n>          the freeze is about to begin, by its own hand; then result.<n>
#   writes.<n>, frozen   how much the disk had written, and since when, when all stood still
#   open                 what is not there any more lets nothing freeze: to take a file away works in a full memory, too
#   overdue, fired       the auto-thaw is called, has begun
settle_seconds=3 # how long a thaw is tried before somebody else must go on

# Hundredths of a second since the machine started, in `now`: no clock that somebody sets.
clock() {
  local up
  read -r up _ </proc/uptime
  now=$((10#${up/./}))
}

# When the process began, in `began`; fails when it has ended.
start_of() {
  local line words
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -ra words <<<"${line##*) }"
  began=${words[19]}
  [[ ${words[0]} != [ZX] ]]
}

# A process is its number and its start time: numbers are used again.
same_process() {
  local began
  [[ -n $2 ]] && start_of "$1" && [[ $began == "$2" ]]
}

# shellcheck disable=SC2329 # called by name
privileged() {
  if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

# Starts a command that may hang; `hear` listens to the descriptor `answer`.
begin() {
  exec {answer}< <(exec 9>&- 2>&1 </dev/null; "$@"; printf 'code %s\n' $?)
}

# What a begun command says, in `said` and `code`; fails when it has not ended within $2 seconds. Then it is left alone.
hear() {
  local descriptor=$1 line now until
  said='' code=''
  clock
  until=$((now + $2 * 100))
  while ((now < until)) && IFS= read -r -t "$(((until - now) / 100)).$(printf %02d $(((until - now) % 100)))" -u "$descriptor" line; do
    [[ $line == 'code '* ]] && code=${line#code } && break
    said+=${said:+; }$line
    clock
  done
  exec {descriptor}<&-
  [[ -n $code ]]
}

# --- one freeze, in a process and session of its own ---

# shellcheck disable=SC2329 # called by name
freezer() { # $1: hold, $2: number, $3: mount point
  local said code=0
  trap '' HUP INT TERM PIPE
  # On record before it freezes, and only then a look whether it still may: whoever closes the hold looks the other way round.
  printf '%s\n' "$BASHPID" >"$1/freezer.$2" && [[ -e $1/open ]] || exit 1
  said=$(privileged "$fsfreeze" --freeze "$3" 2>&1) || code=$?
  printf '%s %s\n' "$code" "$said" >"$1/result.$2"
  printf '%s\n' "$said"
  exit "$code"
}

# True when this hold may have frozen it: fsfreeze's own "no" means that it has not, or that somebody else has.
may_be_frozen() {
  local code=0
  [[ -d $hold ]] || return 0
  [[ -e $hold/freezer.$1 ]] || return 1
  { read -r code _ <"$hold/result.$1"; } 2>/dev/null
  ((${code:-0} == 0 || code > 127))
}

# True when no freeze can come any more.
freezer_has_ended() {
  local pid
  [[ -s $hold/result.$1 || ! -s $hold/freezer.$1 ]] && return 0
  read -r pid <"$hold/freezer.$1"
  [[ $(kill -0 -- "-$pid" 2>&1) == *'No such process'* ]]
}

# Thaws what the hold may have frozen: all at once, the last first, so that one that hangs delays no other. Enters in
# `thawed` which were frozen until now; `trouble` says why it fails. Fails while one of them may be or become frozen.
thaw_all() {
  local n answer said code answers=() late=() patience=3
  trouble=''
  for ((n = ${#held[@]} - 1; n >= 0; n--)); do
    may_be_frozen "$n" || continue
    freezer_has_ended "$n" || late[n]=yes
    begin privileged "$fsfreeze" --unfreeze "${held[n]}"
    answers[n]=$answer
  done
  for n in "${!answers[@]}"; do
    if ! hear "${answers[n]}" "$patience"; then
      patience=1 # all were begun together
      trouble="the thaw of ${held[n]} hangs"
    elif [[ $code == 0 ]]; then
      thawed[n]=yes
    elif [[ $said != *'Invalid argument'* && $said != *'No such file'* ]]; then
      trouble="${held[n]} cannot be thawed: $said"
    fi
    [[ -z ${late[n]:-} ]] || trouble="${held[n]} may still freeze"
  done
  [[ -z $trouble ]]
}

# --- the auto-thaw: a process and session of its own, in memory from its first line on ---

# shellcheck disable=SC2329
auto_thaw() { # $1: hold, $2: deadline, the rest: mount points
  local now began never trouble thawed=()
  trap '' HUP INT QUIT TERM PIPE USR1 USR2
  hold=$1 deadline=$2
  shift 2
  held=("$@")
  { printf '%s\n' -1000 >/proc/self/oom_score_adj; } 2>/dev/null # where it may: the last to be killed for want of memory
  "$fsfreeze" --version >/dev/null || exit 1
  exec {never}<> <(:) # a pipe in which nothing ever comes: waiting takes no other program
  start_of "$BASHPID"
  printf '%s %s\n' "$BASHPID" "$began" >"$hold/keeper" || exit 1
  clock
  # Without its keeper file the hold is lost, and after knows nothing of it: then it is time, too.
  while ((now < deadline)) && [[ -e $hold/keeper && ! -e $hold/overdue ]]; do
    read -r -t 1 -u "$never"
    clock
  done
  { : >"$hold/fired"; } 2>/dev/null
  rm -f "$hold/open"
  until thaw_all; do read -r -t 1 -u "$never"; done
}

# --- the hold ---

make_hold() {
  local n
  hold=$(mktemp -d "$state_folder/hold.XXXXXX") || return
  held=("${mounts[@]}") thawed=()
  printf '%s\n' "$run" >"$hold/run" || return
  : >"$hold/open" || return
  for n in "${!mounts[@]}"; do
    printf '%s\n' "${mounts[n]}" >"$hold/mount.$n" && mountpoint -d -- "${mounts[n]}" >"$hold/disk.$n" || return
  done
}

load_hold() { # $1: its folder
  local n
  hold=$1 held=() thawed=() hold_run=''
  { read -r hold_run <"$hold/run"; } 2>/dev/null
  for ((n = 0; ; n++)); do
    { IFS= read -r "held[n]" <"$hold/mount.$n"; } 2>/dev/null || break
  done
  unset 'held[n]'
}

keeper_lives() {
  local pid='' start=''
  { read -r pid start <"$hold/keeper"; } 2>/dev/null
  [[ -n $pid ]] && same_process "$pid" "$start"
}

arm() {
  local now until
  export -f auto_thaw thaw_all may_be_frozen freezer_has_ended freezer begin hear clock start_of privileged
  export fsfreeze
  setsid "$BASH" -c 'auto_thaw "$@"' n2w-auto-thaw "$hold" "$deadline" "${mounts[@]}" </dev/null >/dev/null 2>&1 9>&- &
  disown
  clock
  until=$((now + 300))
  until keeper_lives; do
    ((now < until)) || return 1
    sleep 0.01
    clock
  done
}

disarm() {
  local pid='' start='' try
  { read -r pid start <"$hold/keeper"; } 2>/dev/null
  for ((try = 0; try < 100; try++)); do
    [[ -n $pid ]] && same_process "$pid" "$start" || return
    kill -KILL "$pid" 2>/dev/null
    sleep 0.01
  done
}

# Thaws the hold and takes it down; fails when something of it may still be or become frozen. Then the auto-thaw goes on.
release() {
  local now until
  # Once before had ended, no freeze is on its way, and no time is to be lost.
  [[ -s $hold/frozen ]] || rm -f "$hold/open"
  clock
  until=$((now + settle_seconds * 100))
  until thaw_all; do
    ((now < until)) || { : >"$hold/overdue"; return 1; }
    sleep 0.1
    clock
  done
  disarm
  rm -rf -- "$hold"
}

# How many writes the disk has ended, and how many sectors it has written, in `writes`. Its frozen file system writes none.
# No other program is started: this is done while all stands still.
count_writes() { # $1: number
  local words disk
  writes=''
  { read -r disk <"$hold/disk.$1" && read -ra words <"/sys/dev/block/$disk/stat"; } 2>/dev/null || return
  writes="${words[4]} ${words[6]}"
}
