# shellcheck shell=bash disable=SC2154 # the settings come from n2w-redis.conf
# Runs redis-session.sh where the client is. Sourced by before, after and complete, which set `folder`.
# shellcheck source=/dev/null
. "$folder/n2w-redis.conf"

options=(-F "$ssh_config" -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=5
  -o ServerAliveInterval=5 -o ServerAliveCountMax=2)
[[ -z $ssh_key ]] || options+=(-i "$ssh_key" -o IdentitiesOnly=yes)
[[ -z $known_hosts ]] || options+=(-o "UserKnownHostsFile=$known_hosts")

# A private folder: whoever can write beside the socket of a shared connection can use the connection.
runtime=/tmp/n2w-redis-$UID
shared=(-o ControlPath=none)
if [[ -n $ssh_to && $reuse_connection == yes ]] &&
  { mkdir -m 700 "$runtime" 2>/dev/null || [[ -O $runtime && ! -L $runtime ]]; }; then
  chmod 700 "$runtime"
  shared=(-o "ControlPath=$runtime/%C")
fi

is_shared() { [[ ${shared[1]} != ControlPath=none ]]; }
is_open() { is_shared && ssh "${options[@]}" "${shared[@]}" -O check "$ssh_to" 2>/dev/null; }

# Opens the connection that all three scripts share, before anything is held: the handshake would make the hold longer.
# ssh keeps it in a process and session of its own. That process has none of our outputs open, or whoever reads them to
# their end would wait for it.
open_connection() {
  is_shared || return 0
  ! is_open || return 0
  local errors code=0
  errors=$(mktemp "$runtime/errors.XXXXXX")
  ssh "${options[@]}" "${shared[@]}" -o ControlMaster=auto -o ControlPersist=120 "$ssh_to" true \
    </dev/null >/dev/null 2>"$errors" || code=$?
  cat "$errors" >&2
  rm -f "$errors"
  return "$code"
}

# Returns the exit code of the session; 3 when the connection failed, so that nobody knows.
session() {
  local name assignments=() code=0
  for name in N2W_RUN_ID N2W_ATTEMPT N2W_SECONDS_LEFT N2W_TIMEOUT_SECONDS N2W_MARK \
    option_file state_folder client data_folder hold deadline_seconds; do
    [[ ! -v $name ]] || assignments+=("$name=${!name}")
  done
  if [[ -z $ssh_to ]]; then
    exec env "${assignments[@]}" bash "$folder/redis-session.sh" "$@"
  fi
  # shellcheck disable=SC2029 # quoted here, for the shell over there
  ssh "${options[@]}" "${shared[@]}" "$ssh_to" "env $(printf '%q ' "${assignments[@]}") bash -s -- $(printf '%q ' "$@")" \
    <"$folder/redis-session.sh" || code=$?
  ((code != 255)) && return "$code"
  printf 'redis: the connection to %s failed: it is not known whether something is held\n' "$ssh_to" >&2
  return 3
}

session_afresh() { # over a connection of its own
  shared=(-o ControlPath=none)
  session "$@"
}
