#!/bin/bash
# before: stops the writes of the ledger. 0 only when nothing can be written any more.
#
# SQLite's lock belongs to a process, and this one has to end for the backup to go on. So it leaves a child behind that
# holds the lock until after asks for it, or until the child's own deadline: whatever dies, the ledger goes on.
set -u
patience_seconds=15 # more than the child waits for a transaction that is under way
cd -- "$(dirname -- "${BASH_SOURCE[0]}")" || exit 1

coproc holder { exec ./hold_ledger.py; }
# shellcheck disable=SC2154 # coproc sets it
child=$holder_PID
# The child says one line once it holds the lock, and ends without a word (but with a reason on stderr) where it cannot.
if read -r -t "$patience_seconds" answer <&"${holder[0]}"; then
  echo "$answer"
  exit 0
fi
kill "$child" 2>/dev/null
echo "The ledger's writes could not be stopped, they go on." >&2
exit 1
