"""One proof that is struck, and its judge: a result that is true, and nothing of it left on the machine."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from tests.ground import image_parts, processes
from tests.system.faults import points
from tests.system.faults.bed import Bed
from tests.system.faults.judge import Finding
from tests.system.faults.table import Fault
from tests.system.product import POLICY

# The watchdog looks every minute for what killed images have left.
LEFT_SECONDS = 90.0
UNFINISHED = {"queued", "working"}
TRIES = 4
VERIFY_SECONDS = "3.0625"  # by this its process is found
VERIFY = f"""#!/bin/bash
[[ $(redis-cli -s "$N2W_PROOF_SOCKET" PING) == PONG ]] || exit 9
sleep {VERIFY_SECONDS}
[[ $(redis-cli -s "$N2W_PROOF_SOCKET" PING) == PONG ]]
"""
SLOW = {"GetSnapshotBlock": 0.3}
OPENING, VERIFYING = "while it is opened", "while it is verified"
TAG = "n2wbackup:proof"


class Proving:
    """A proof of the bed's restore point to level 3, by a real database that is started from the snapshot."""

    def __init__(self, bed: Bed) -> None:
        """Look what is there; nothing is asked for yet."""
        self.bed = bed
        self.before = points.standing(bed)
        self.goes = set[str]()  # what the fault itself deletes
        self.id = ""
        self.struck = 0.0
        self.images = bed.product.home / "images"
        verify = bed.product.folder / f"verify_{POLICY}.sh"
        verify.write_text(VERIFY)

    def ask(self) -> None:
        """Have the workers prove the restore point."""
        code = (
            "from policies.services.proof import asking; from policies.selectors import labels; "
            f"run = labels.run('{self.bed.point}'); wish = asking.Wish(level=3, recipe='redis'); "
            "print('key', asking.ask(run, wish, by='').pk)"
        )
        self.struck = time.monotonic()
        said = self.bed.product.succeed("shell", "--command", code)
        self.id = said.split("key ")[1].split()[0]

    def come_to(self, moment: str) -> None:
        """Ask for it, and return in the moment."""
        bed = self.bed
        if moment.startswith(("before ", "after ")):
            points.hold_up(bed, moment)
            self.ask()
            bed.wait_until(lambda: points.is_held(bed, moment), moment)
        else:
            if moment == OPENING:
                bed.product.aws.configure(latency_seconds=SLOW)
                bed.helpers.callback(bed.product.aws.configure, latency_seconds={})
            self.ask()
            bed.wait_until(lambda: self._is_in(moment), f"{moment}: {self.events()}")
        self.struck = time.monotonic()

    def _is_in(self, moment: str) -> bool:
        if moment == VERIFYING:
            return any(VERIFY_SECONDS in _words(pid) for pid in self.bed.of_run(self.bed.point))
        return set(self.family()) == set(image_parts.PARTS)

    def family(self) -> dict[str, int]:
        """Return the processes of the first try's image."""
        return image_parts.family(self.images, self._keys()[0])

    def database(self) -> int:
        """Return the pid of the database program that was started for it; it writes over its environment."""
        below = processes.descendants(self.family()["hands"])
        return next(pid for pid in below if _is_redis(pid))

    def _keys(self) -> list[str]:
        return [str(uuid5(UUID(self.id), str(number))) for number in range(1, TRIES + 1)]

    def events(self) -> list[str]:
        """Return its history."""
        sql = "SELECT text FROM policies_proofevent WHERE proof_id = ? ORDER BY id"
        return [str(text) for (text,) in self.bed.query(sql, UUID(self.id).hex)] if self.id else []

    def row(self) -> dict[str, Any]:
        """Return what its row says."""
        names = ("state", "reason", "reached", "mark", "snapshot_id", "tag_due")
        sql = (
            "SELECT state, reason, reached, mark, snapshot_id, tag_due FROM policies_proof"
            " WHERE id = ?"
        )
        return dict(zip(names, self.bed.query(sql, UUID(self.id).hex)[0], strict=True))

    def wait(self) -> float:
        """Return how long after the strike it has ended, in seconds."""
        points.until(
            self.bed,
            lambda: self.row()["state"] not in UNFINISHED,
            f"the end of {self.id}",
            "proofs",
        )
        return time.monotonic() - self.struck

    def judged(self, fault: Fault, moment: str) -> Finding:
        """Wait for its end, and look at everything."""
        expected, found = fault.at[moment], Finding(fault.name, moment)
        found.seconds = self.wait()
        self.bed.product.aws.clear_faults()
        points.until(self.bed, lambda: not self.row()["tag_due"], "its tag is written", "proofs")
        row = self.row()
        found.state, found.reason = row["state"], row["reason"]
        if found.state not in expected.state.split("|"):
            found.wrong.append(f"it is {found.state} and not {expected.state}: {found.reason!r}")
        if expected.reason not in found.reason:
            found.wrong.append(f"the reason does not say {expected.reason!r}: {found.reason!r}")
        found.wrong += self._untrue(row)
        left = list(self._left())
        if left:
            try:
                points.until(self.bed, lambda: not list(self._left()), "", "proofs", LEFT_SECONDS)
            except TimeoutError:
                left = list(self._left())
                found.left = len(left)
                found.wrong += left
        return found

    def _untrue(self, row: dict[str, Any]) -> Iterator[str]:
        if row["state"] == "passed" and (row["reached"], row["mark"]) != (3, "found"):
            yield f"passed, and reached level {row['reached']} with the mark {row['mark']!r}"
        if row["state"] != "passed" and not row["reason"]:
            yield "no reason is given"
        tags = {s.snapshot_id: s.tags.get(TAG, "") for s in self.bed.product.aws.snapshots()}
        tag = tags.get(row["snapshot_id"])
        if tag is not None and not tag.startswith(row["state"]):
            yield f"the tag says {tag!r}, and the row {row['state']}"
        proven = self.bed.query("SELECT proven_by_id FROM policies_policy")[0][0]
        is_proven = proven is not None and UUID(str(proven)) == UUID(self.id)
        if is_proven != (row["state"] == "passed"):
            yield f"it is {row['state']}, and {'' if is_proven else 'not '}called the policy's last proof"
        now = points.standing(self.bed)
        if now.everything != self.before.everything - self.goes:
            changed = now.everything ^ (self.before.everything - self.goes)
            yield f"AWS has others than before: {sorted(changed)}"

    def _left(self) -> Iterator[str]:
        """Yield whatever of it is on the machine, and the hold."""
        for key in [self.id, *self._keys()]:
            yield from image_parts.leftovers(key)
            yield from (f"folder {path.name}" for path in self.images.glob(f"{key}*"))
        yield from (f"process {pid}" for pid in self.bed.of_run(self.bed.point))
        yield from (str(p) for p in self.bed.memory().glob(f"proofs/{self.id}*"))
        yield from points.holds_left(self.bed, self.id)


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _is_redis(pid: int) -> bool:
    return any("redis-server" in word or "valkey-server" in word for word in _words(pid)[:1])
