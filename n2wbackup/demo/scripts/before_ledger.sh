#!/bin/bash
# before: stops the writes of the ledger. Exits with 0 only if nothing can be written any more.
#
# SQLite's lock belongs to a process, and this process has to end so that the backup goes on. So it leaves a child
# that holds the lock until after asks for it, or until the child's own deadline: whatever dies, the ledger goes on.
set -u
patience_seconds=15 # longer than the child waits for a running transaction
cd -- "$(dirname -- "${BASH_SOURCE[0]}")" || exit 1

coproc holder { exec ./hold_ledger.py; }
# shellcheck disable=SC2154 # coproc sets it
child=$holder_PID
# The child prints one line once it holds the lock. If it cannot get it, it ends, with the reason only on stderr.
if read -r -t "$patience_seconds" answer <&"${holder[0]}"; then
  echo "$answer"
  exit 0
fi
kill "$child" 2>/dev/null
echo "The ledger's writes could not be stopped: they go on." >&2
exit 1
