"""What a backup is worth: a proof of the ledger's snapshot, and the ledger's file out of it.

Both need what opens snapshots: root, nbdkit and FUSE. Without it, the proof ends at level 0, and says what is missing.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from n2wbackup.demo import ledger
from n2wbackup.demo.aws import disks
from n2wbackup.demo.ledger import Books
from n2wbackup.demo.server import DemoError, Server
from n2wbackup.demo.stage import Stage
from n2wbackup.lib import clock
from policies.adapters import session
from policies.api import as_json
from policies.domain import proofs
from policies.domain.browsing.states import State as Opened
from policies.domain.errors import BackupError
from policies.domain.proofs import Level, Recipe, State
from policies.models import OpenedSnapshot, Proof, RunSnapshot
from policies.selectors import labels
from policies.services.browsing import asking as asking_files
from policies.services.browsing import fetching, opening
from policies.services.proof import asking
from policies.services.proof.asking import Wish

_PROOF_SECONDS = 150
_LOOK_SECONDS = 0.25
_BY = "demo"
_PYTHON = "/usr/bin:/bin:/usr/local/bin"  # where a proof looks for programs


@dataclass(frozen=True, slots=True)
class Worth:
    """A proof, and the file that was restored; None: there is none. `lacks`: why there is no more, in sentences."""

    proof: as_json.Json | None = None
    restored: Books | None = None
    restored_bytes: int = 0
    lacks: str = ""

    @property
    def is_good(self) -> bool:
        """Tell whether nothing that could be tried has failed."""
        failed = self.proof is not None and self.proof["state"] == State.FAILED
        return not failed and (self.restored is None or self.restored.balances)

    def as_json(self) -> as_json.Json:
        found = self.restored
        file = found and {**found.as_json(), "file": ledger.FILE, "bytes": self.restored_bytes}
        return {"proof": self.proof, "restored": file, "lacks": self.lacks}


def possible() -> tuple[Level, str]:
    """Return the level that a proof can reach on this machine, and why it is not the highest."""
    if not disks.can_make():
        why = "mkfs.ext4 is missing, so the ledger's snapshots have no blocks"
        return Level.READABLE, f"{why}: install the package {disks.PACKAGE}."
    if why := session.images().why_not():
        return Level.READABLE, why
    if shutil.which("python3", path=_PYTHON) is None:
        return Level.MOUNTS, "verify_ledger.py needs a /usr/bin/python3: install python3."
    return Level.AGREES, ""


def try_out(run: as_json.Json, stage: Stage, server: Server) -> Worth:
    """Have the run's snapshot of the ledger proven, as far as this machine can, and take the ledger's file out of it.

    Raises DemoError if that does not end.
    """
    rows = RunSnapshot.objects.select_related("target__run__owner", "target__run__account")
    snapshot = rows.filter(target__run=run["id"], volume_id=stage.volume_id).first()
    if snapshot is None or snapshot.state != RunSnapshot.State.COMPLETED:
        return Worth(lacks="There is no completed snapshot of the ledger.")
    level, lacks = possible()
    if not disks.can_make():
        return Worth(lacks=lacks)
    proof = _proven(snapshot, level, server)
    if level == Level.READABLE or proof["state"] != State.PASSED:
        return Worth(proof, lacks=lacks)
    try:
        books, size = _restored(snapshot, server)
    except BackupError as error:
        return Worth(proof, lacks=str(error))
    return Worth(proof, books, size, lacks)


def _proven(snapshot: RunSnapshot, level: Level, server: Server) -> as_json.Json:
    wish = Wish(level, Recipe.FILES, snapshot.snapshot_id)
    proof = asking.ask(snapshot.target.run, wish, by=_BY)

    def has_ended() -> bool:
        proof.refresh_from_db()
        return proof.state in proofs.ENDS

    _wait(has_ended, server, f"Proof {proof.pk}")
    return as_json.proof(labels.proof(str(proof.pk)))


def _restored(snapshot: RunSnapshot, server: Server) -> tuple[Books, int]:
    """Have a worker open the snapshot, and copy the ledger's file out of it; return its books and its size."""
    opened = asking_files.ask(snapshot, by=_BY)

    def is_done() -> bool:
        opened.refresh_from_db()
        return opened.state not in {Opened.ASKED, Opened.OPENING}

    _wait(is_done, server, f"Opening {snapshot}")
    folder = settings.N2W_HOME / "restored" / "files"
    folder.mkdir(mode=0o700, parents=True)
    try:
        fetching.fetch(snapshot, ledger.FILE, folder, by=_BY)
        file: Path = folder / ledger.FILE
        return ledger.audit(file), file.stat().st_size
    finally:
        shutil.rmtree(folder)
        _close(opened)


def _close(opened: OpenedSnapshot) -> None:
    if opened.state == Opened.OPEN:
        opening.close(opened, "The demo has its file.")


def _wait(is_done: Callable[[], bool], server: Server, what: str) -> None:
    deadline = clock.boottime() + _PROOF_SECONDS
    while not is_done():
        if clock.boottime() > deadline:
            raise DemoError(f"{what} has not ended within {_PROOF_SECONDS} s.")
        server.wait(_LOOK_SECONDS)


def close_all() -> None:
    """Close every snapshot that is open in this home, or being opened: their processes outlive the server."""
    images, busy = session.images(), {"ended_at": None}
    proven = Proof.objects.filter(**busy).values_list("pk", flat=True)
    read = OpenedSnapshot.objects.filter(**busy).values_list("pk", flat=True)
    for key in {*images.keys(), *map(str, proven), *map(str, read)}:
        with suppress(BackupError):
            images.again(key).close()
