"""The URLs of who is told when a window stays frozen, sealed beside the spool's record.

A worker writes them before its window opens. The watchdog reads them without the database.
"""

import json
import logging
import os
from pathlib import Path

from n2wbackup.lib import encrypted
from n2wbackup.lib.encrypted import DecryptionError
from policies.models import Policy
from policies.services.alarms import receivers

log = logging.getLogger(__name__)

NAME = "alarms"
_NOT_FROM_HERE = "%s/%s: alarms cannot be sent from the spool: %s"


def write(folder: Path, policy: Policy) -> None:
    """Put the sealed URLs beside the record, before the window. A window opens also where that fails."""
    path = folder / NAME
    try:
        path.unlink(missing_ok=True)
        groups, lost = receivers.groups(policy)
        for sentence in lost:
            log.warning(_NOT_FROM_HERE, policy.owner, policy, sentence)
        if groups:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(encrypted.seal(json.dumps(groups)))
    except OSError as error:
        log.warning(_NOT_FROM_HERE, policy.owner, policy, error)


def read(folder: Path) -> list[list[str]]:
    """Return the URLs of each who is told; none where nobody is, or the key is gone."""
    try:
        found: list[list[str]] = json.loads(encrypted.unseal((folder / NAME).read_text()))
    except (FileNotFoundError, DecryptionError, ValueError):
        return []
    return found
