"""The watchdog's visitors: processes that ask the instances of lost windows what became of them.

Started from the spool alone. One at a time asks the instances of one run; it ends when all have told, or when nothing
is left to thaw.
"""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from n2wbackup.lib import encrypted, trust
from n2wbackup.lib.encrypted import DecryptionError
from policies.services.window import sealing
from scripts_admin.domain.remote import By
from scripts_admin.guard import linux, spool
from scripts_admin.guard.journal import Writer
from scripts_admin.runners.addresses import UnreadableWayError, Way
from scripts_admin.runners.late_ssm import Late

log = logging.getLogger(__name__)

# -B: it writes nothing, not even the modules that it has compiled.
PROGRAM = (sys.executable, "-B", "-m", "policies.adapters.visitor")
AGAIN_SECONDS = 5.0  # a visitor that dies is followed by another one
_PROJECT = Path(__file__).resolve().parents[3]


class Visitors:
    """The visitors of one watchdog. Nothing here waits."""

    def __init__(self, runtime: Path) -> None:
        """Remember the place where they write."""
        self._runtime = runtime
        self._not_before: dict[str, float] = {}
        self._unreadable: set[tuple[str, str]] = set()  # told once; each turn would tell it again

    def ask(
        self, folder: Path, record: spool.Record, owed: Collection[str], *, note: str = ""
    ) -> None:
        """Start a visitor for these instances of a run, unless one is there or has just been started.

        It goes on for as long as the window is open. With `note`, it asks each once, as long as the spool has this.
        """
        now = linux.boottime()
        if now < self._not_before.get(folder.name, 0.0):
            return
        self._not_before[folder.name] = now + AGAIN_SECONDS
        lock = spool.try_lock(folder, spool.VISITOR)
        if lock is None:
            return
        try:
            # First, and even if nobody can be asked: people are alarmed when this has taken too long.
            # The watchdog lives for months: what it opens, it closes.
            with closing(Writer.of_visits(self._runtime / folder.name)) as writer:
                writer.note("visiting")
            self._start(folder, record, owed, lock, note)
        finally:
            os.close(lock)

    def _start(
        self, folder: Path, record: spool.Record, owed: Collection[str], lock: int, note: str
    ) -> None:
        visits = [
            {"instance": name, **visit}
            for name, raw in _kept(folder).items()
            if name in owed and (visit := self._opened(folder, name, raw)) is not None
        ]
        if not visits:
            return
        afters = [each.after_seconds for each in record.instances if each.instance in owed]
        document = {
            "run": folder.name,
            "folder": str(folder),
            "runtime": str(self._runtime / folder.name),
            "masks": [each.decode() for each in sealing.unseal(record.masks)],
            "visits": visits,
            "note": note,
            "after_seconds": max(afters, default=0.0),
        }
        process = subprocess.Popen(
            [*PROGRAM, str(lock)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            pass_fds=[lock],
            start_new_session=True,
        )
        threading.Thread(target=_attend, args=(process, document), daemon=True).start()

    def _opened(self, folder: Path, instance: str, raw: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return how to ask an instance, with its secrets unsealed; None, and a line in the log, if nobody can."""
        try:
            kind: type[Way | Late] = Late if raw["by"] == By.SSM else Way
            way = kind.from_spool(raw["way"], encrypted.unseal)
            said = {key: str(raw[key]) for key in ("by", "nonce", "program")}
        except (DecryptionError, KeyError, TypeError, ValueError, UnreadableWayError) as error:
            if (folder.name, instance) not in self._unreadable:
                self._unreadable.add((folder.name, instance))
                log.error(  # noqa: TRY400 - the error is the whole of it
                    "%s of run %s cannot be asked whether it is thawed: %s",
                    instance,
                    folder.name,
                    error,
                )
            return None
        return said | {"way": way.to_spool(str)}


def _attend(process: subprocess.Popen[bytes], document: Mapping[str, object]) -> None:
    """Give a visitor its document, and wait for its end, so that no dead one stays behind."""
    if process.stdin is not None:
        with suppress(OSError), process.stdin as pipe:
            pipe.write(json.dumps(document).encode())
    process.wait()


def _environment() -> dict[str, str]:
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    home = os.environ.get("HOME", "/")
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": home, "PYTHONPATH": str(_PROJECT)} | aws


def _kept(folder: Path) -> Mapping[str, Any]:
    with trust.folder(folder, closed=False) as within:
        text = trust.text(folder / spool.VISITS, within=within)
    found = json.loads(text)
    if not isinstance(found, dict):
        message = (
            f"the {spool.VISITS} of run {folder.name} does not tell how to reach its instances"
        )
        raise TypeError(message)
    return found
