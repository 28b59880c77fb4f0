"""The URLs of the receivers of a 'may be frozen' alarm, encrypted beside the spool's record.

A worker writes them before its window opens. The watchdog reads them without the database.
"""

import json
import logging
import os
from pathlib import Path

from n2wbackup.lib import encrypted, trust
from n2wbackup.lib.encrypted import DecryptionError
from n2wbackup.lib.trust import UntrustedError
from policies.models import Policy
from policies.services.alarms import receivers

log = logging.getLogger(__name__)

NAME = "alarms"
_NOT_FROM_HERE = "%s/%s: alarms cannot be sent from the spool: %s"


def write(folder: Path, policy: Policy, *, has_receivers: bool = True) -> None:
    """Write the encrypted URLs beside the record, before the window. If that fails, the window opens anyway.

    `has_receivers`: there may be some.
    """
    path = folder / NAME
    try:
        path.unlink(missing_ok=True)
        groups, lost = receivers.groups(policy) if has_receivers else ([], [])
        for sentence in lost:
            log.warning(_NOT_FROM_HERE, policy.owner, policy, sentence)
        if groups:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(encrypted.seal(json.dumps(groups)))
    except OSError as error:
        log.warning(_NOT_FROM_HERE, policy.owner, policy, error)


def read(folder: Path) -> list[list[str]]:
    """Return the URLs of each receiver; none if there is no receiver, the key is lost, or it is a stranger's file."""
    try:
        text = trust.text(folder / NAME)
        found: list[list[str]] = json.loads(encrypted.unseal(text))
    except (FileNotFoundError, UntrustedError, DecryptionError, ValueError):
        return []
    return found
