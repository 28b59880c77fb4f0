#!/bin/bash
# What runs inside an opened snapshot: starts the application on its files, and says what it finds. The part of a recipe
# follows this text in the same file.
#
# Each line that begins with "n2w " is a finding. What others print comes behind "| ", so nobody else can say one:
#   server TEXT, lacks TEXT (cannot be tried here), up SECONDS, down TEXT, redo BYTES TEXT,
#   mark found|missing|none TEXT, younger NUMBER, verify CODE
# There is no network here, and all that is left running ends with this script.
set -u
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
umask 077
verify=${1:-}
data=$N2W_PROOF_DATA
mark=$N2W_MARK
scratch=$(mktemp -d /tmp/proof.XXXXXX) || exit 1
log=$scratch/log
: >"$log"
trap '[[ -z ${server:-} ]] || kill -KILL "$server" 2>/dev/null; rm -rf -- "$scratch"' EXIT

say() { printf 'n2w %s\n' "$*"; }

# What somebody else has written, made harmless.
quoted() { tr -d '\000' | sed 's/^/| /'; }

finish() {
  [[ ! -s $log ]] || tail -n 60 -- "$log" | quoted
  exit 0
}

missing() {
  say "lacks $*"
  finish
}

down() {
  say "down $*"
  finish
}

# Hundredths of a second since the machine started, in `now`.
clock() {
  local up
  read -r up _ </proc/uptime
  now=$((10#${up/./}))
}

# Waits until `answers` succeeds or the server, $1, has ended; says how long that took. $2: the pattern of an error in its
# log, $3: what is none although it looks like one. `too_new`: the pattern of a log that says that the data are of a version
# that is newer than the program.
wait_until_up() {
  local began until found
  clock
  began=$now until=$((now + N2W_PROOF_SECONDS * 100))
  while ((now < until)); do
    if answers 2>/dev/null; then
      clock
      say "up $(((now - began) / 100)).$(printf %02d $(((now - began) % 100)))"
      return
    fi
    if ! kill -0 "$1" 2>/dev/null; then
      found=$(grep -m 1 -aoE "${too_new:-^$}" "$log")
      [[ -z $found ]] || missing "these data are of a newer version than what this server has ($found): install that version"
      found=$(grep -aE "$2" "$log" | grep -m 1 -avE "${3:-^$}" | tr -cd '[:print:]' | cut -c 1-300)
      down "it ended by itself: ${found:-its log has no error}"
    fi
    sleep 0.02
    clock
  done
  down "it did not answer within $N2W_PROOF_SECONDS s"
}

# Runs the owner's own verification, if there is one.
run_verify() {
  local code=0
  [[ -n $verify ]] || return 0
  export N2W_PROOF_SOCKET=$1
  "$verify" </dev/null >"$scratch/verify" 2>&1 || code=$?
  head -c 65536 "$scratch/verify" | quoted
  say "verify $code"
}

# Says what became of the mark: $1 rows with it, $2 rows younger than the fire; $1 is empty where no table is.
say_mark() {
  if [[ -z $1 ]]; then
    say "mark none"
  elif (($1 > 0)); then
    say "mark found"
  else
    say "mark missing"
  fi
  say "younger ${2:-0}"
}
