"""One recovery that is struck, and its judge: nothing twice, nothing left, and the rows as AWS has it."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.contract.aws_clients import ec2
from tests.system.faults import points
from tests.system.faults.bed import Bed
from tests.system.faults.judge import Finding
from tests.system.faults.table import Fault

UNFINISHED = {"queued", "working", "initializing"}
KEPT = "n2wbackup:kept-until"


@dataclass(frozen=True)
class Kind:
    """What is restored: the words of `restore`, and what there is more of in AWS once it is done."""

    name: str
    words: tuple[str, ...]
    volumes: int = 1
    instances: int = 0
    region: str = "us-east-1"  # where it is made
    device: str = ""  # where the new volume is: "root" or "data", in the place of that one, or a device's name


class Recovering:
    """A recovery of the bed's restore point, and what AWS had before it."""

    def __init__(self, bed: Bed, kind: Kind, instance: str = "") -> None:
        """Look what is there; nothing is asked for yet. `instance`: which one is changed, else that of the bed."""
        self.bed, self.kind = bed, kind
        self.instance = instance or bed.product.instance
        self.before = points.standing(bed, kind.region)
        self.attached = points.volumes_of(bed, self.instance)
        self.id = ""
        self.struck = 0.0
        self.goes = set[str]()  # what the fault itself deletes
        self._of_point = sorted(points.volumes_of(bed, bed.product.instance).items())

    def ask(self) -> None:
        """Ask for it."""
        volumes = [volume for _, volume in self._of_point]
        ids = {"instance": self.instance, "root": volumes[0], "data": volumes[-1]}
        words = [word.format(**ids) for word in self.kind.words]
        self.struck = time.monotonic()
        self.id = self.bed.product.succeed("restore", self.bed.point, *words).split()[1]

    def strike_at(self, moment: str, strike: Callable[[Bed, str], None], **match: Any) -> None:
        """Ask for it, and strike when it comes to the moment; the claim of whoever died is over then."""
        points.hold_up(self.bed, moment, **match)
        self.ask()
        self._strike(moment, strike)

    def strike_at_undo(self, moment: str, strike: Callable[[Bed, str], None]) -> None:
        """Let it come to its end, have it undone, and strike in the moment."""
        self.ask()
        self.wait()
        points.hold_up(self.bed, moment)
        self.undo()
        self._strike(moment, strike)

    def _strike(self, moment: str, strike: Callable[[Bed, str], None]) -> None:
        points.until(
            self.bed, lambda: points.is_held(self.bed, moment), moment, "recoveries", seconds=60
        )
        self.struck = time.monotonic()
        strike(self.bed, moment)
        self.claims_run_out()

    def claims_run_out(self) -> None:
        """Let the claim of a worker that was killed be over; some minutes otherwise."""
        sql = "UPDATE policies_recovery SET next_at = ? WHERE id = ? AND ended_at IS NULL"
        self.bed.query(sql, points.earlier(seconds=1), UUID(self.id).hex)

    def undo(self) -> None:
        """Ask for it to be undone."""
        self.bed.product.succeed("undo_recovery", self.id, "--confirm", self.id)

    @property
    def state(self) -> str:
        sql = "SELECT state FROM policies_recovery WHERE id = ?"
        return str(self.bed.query(sql, UUID(self.id).hex)[0][0])

    def show(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.bed.product.succeed("show_recovery", self.id, "--json")
        )
        return found

    def wait(self) -> float:
        """Return how long after the strike it has ended, in seconds."""
        points.until(
            self.bed, lambda: self.state not in UNFINISHED, f"the end of {self.id}", "recoveries"
        )
        return time.monotonic() - self.struck

    def judged(self, fault: Fault, moment: str) -> Finding:
        """Wait for its end and look at everything; what is done is undone, and looked at again."""
        expected = fault.at[moment]
        found = Finding(fault.name, moment)
        found.seconds = self.wait()
        shown = self.show()
        found.state, found.reason = shown["state"], shown["reason"]
        found.stands = len(points.standing(self.bed, self.kind.region).beyond(self.before))
        if found.state not in expected.state.split("|"):
            found.wrong.append(f"it is {found.state} and not {expected.state}: {found.reason!r}")
        if expected.reason not in found.reason:
            found.wrong.append(f"the reason does not say {expected.reason!r}: {found.reason!r}")
        if found.state == "failed" and not found.reason:
            found.wrong.append("it failed without a reason")
        found.wrong += self._untrue(shown, found)
        if found.state == "done":
            self.undo()
            points.until(self.bed, lambda: self.state != "done", "it is undone", "recoveries")
            self.wait()
            again = self.show()
            if again["state"] != "undone":
                found.wrong.append(f"undone, it is {again['state']}: {again['reason']!r}")
            found.wrong += self._untrue(again, found)
        return found

    def _untrue(self, shown: dict[str, Any], found: Finding) -> Iterator[str]:
        now = points.standing(self.bed, self.kind.region)
        more, made = now.beyond(self.before), _made(shown)
        yield from self._rows(shown, now.everything)
        if set(more) != made:
            yield f"AWS has {more}, and the rows say {sorted(made)}"
        lost = sorted(self.before.everything - now.everything - self.goes)
        if lost:
            yield f"gone, and nobody was to delete them: {lost}"
        if shown["state"] == "done":
            yield from self._done(shown, now, found)
        elif more:
            found.left += len(more)
            yield f"left behind: {more}"
        elif self.instance in now.instances and (
            points.volumes_of(self.bed, self.instance) != self.attached
        ):
            yield f"other volumes are attached than before: {self.attached}"

    def _rows(self, shown: dict[str, Any], there: frozenset[str]) -> Iterator[str]:
        for row in shown["created"]:
            exists = row["resource"] in there
            if exists != (row["fate"] == "made"):
                yield f"{row['resource']} is called {row['fate']}, and AWS {'has' if exists else 'lacks'} it"
        half = [f"{s['deed']} {s['state']}" for s in shown["steps"] if s["state"] == "begun"]
        planned = [s["deed"] for s in shown["steps"] if s["state"] == "planned"]
        if half or planned:
            yield f"ended, and steps are open: {half + planned}"
        yield from points.holds_left(self.bed, self.id)

    def _done(self, shown: dict[str, Any], now: points.Standing, found: Finding) -> Iterator[str]:
        for what, count in (("volumes", self.kind.volumes), ("instances", self.kind.instances)):
            new = getattr(now, what) - getattr(self.before, what)
            found.twice += max(0, len(new) - count)
            if len(new) != count:
                yield f"{len(new)} {what} were made, and not {count}: {sorted(new)}"
        if now.images != self.before.images:
            found.left += 1
            yield "an image is left"
        if any(row["progress"] != 100 for row in shown["created"] if row["from_snapshot"]):
            yield "done, and not everything is loaded"
        if self.kind.device:
            yield from self._in_place(now)

    def _in_place(self, now: points.Standing) -> Iterator[str]:
        attached = points.volumes_of(self.bed, self.instance)
        new = now.volumes - self.before.volumes
        devices = sorted(self.attached)
        device = {"root": devices[0], "data": devices[-1]}.get(self.kind.device, self.kind.device)
        if attached.get(device) not in new:
            yield f"{device} has {attached.get(device)} and not {sorted(new)}"
        old = self.attached.get(device)
        if old:
            volumes = ec2(self.bed.product.aws).describe_volumes(VolumeIds=[old])["Volumes"]
            tags = {tag["Key"]: tag["Value"] for tag in volumes[0].get("Tags", [])}
            if not tags.get(KEPT):
                yield f"{old} is not tagged as kept: {tags}"


def _made(shown: dict[str, Any]) -> set[str]:
    return {row["resource"] for row in shown["created"] if row["fate"] == "made"}
