# shellcheck shell=bash disable=SC2154 # the settings come from fsfreeze.conf
# Runs fsfreeze-hold.sh and fsfreeze-mounts.sh, as one text, on the instance. Sourced by before, after and complete, which set `folder`.
# shellcheck source=/dev/null
. "$folder/fsfreeze.conf"

options=(-F "$ssh_config" -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=5
  -o ServerAliveInterval=5 -o ServerAliveCountMax=2)
[[ -z $ssh_key ]] || options+=(-i "$ssh_key" -o IdentitiesOnly=yes)
[[ -z $known_hosts ]] || options+=(-o "UserKnownHostsFile=$known_hosts")

# A private folder: whoever can write beside the socket of a shared connection can use the connection.
runtime=/tmp/n2w-fsfreeze-$UID
shared=(-o ControlPath=none)
if [[ $reuse_connection == yes ]] && { mkdir -m 700 "$runtime" 2>/dev/null || [[ -O $runtime && ! -L $runtime ]]; }; then
  chmod 700 "$runtime"
  shared=(-o "ControlPath=$runtime/%C")
fi

# Opens the connection that all three scripts share, before anything is frozen: the handshake would make the freeze longer.
# ssh keeps it in a process and session of its own. That process has none of our outputs open, or whoever reads them to
# their end would wait for it.
open_connection() {
  [[ ${shared[1]} != ControlPath=none ]] || return 0
  ! ssh "${options[@]}" "${shared[@]}" -O check "$host" 2>/dev/null || return 0
  local errors code=0
  errors=$(mktemp "$runtime/errors.XXXXXX")
  ssh "${options[@]}" "${shared[@]}" -o ControlMaster=auto -o ControlPersist=120 "$host" true \
    </dev/null >/dev/null 2>"$errors" || code=$?
  cat "$errors" >&2
  rm -f "$errors"
  return "$code"
}

# Exits with the exit code of the far side; 3 when the connection failed, so that nobody knows.
far_side() {
  local name assignments=() code=0
  for name in N2W_RUN_ID N2W_ATTEMPT N2W_SECONDS_LEFT N2W_MARK state_folder write_out_seconds freeze_seconds deadline_seconds; do
    [[ ! -v $name ]] || assignments+=("$name=${!name}")
  done
  # shellcheck disable=SC2029 # quoted here, for the shell over there
  cat "$folder/fsfreeze-hold.sh" "$folder/fsfreeze-mounts.sh" | ssh "${options[@]}" "${shared[@]}" "$host" \
    "env $(printf '%q ' "${assignments[@]}") bash -s -- $(printf '%q ' "$@" -- "${mounts[@]}")" || code=$?
  ((code != 255)) && return "$code"
  printf 'fsfreeze: the connection to %s failed: it is not known whether something is frozen\n' "$host" >&2
  return 3
}
