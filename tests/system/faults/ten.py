"""Ten instances of one policy, with each kind of trouble once: nobody's trouble lengthens another one's window."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from n2wbackup.demo.aws import VolumeSpec
from tests.ground import network, processes, sshd
from tests.ground.leeway import LEEWAY
from tests.system.faults import beds, judge
from tests.system.faults.bed import Bed
from tests.system.faults.judge import Finding
from tests.system.faults.table import Expected, Fault
from tests.system.product import OWNER, POLICY

TIMEOUT_SECONDS = 3
GRACE_SECONDS = 2.0  # what hangs is ended with TERM, and a second later with KILL
WELL = 6
TROUBLES = (*["well"] * WELL, "failing", "hanging", "changed", "offline")
BODIES = {"failing": "exit 3", "hanging": "sleep 600"}
# What ran there, with which argument. What was ended may have left something behind: after runs once more.
WANTED = {
    "well": ["before -", "after 1"],
    "failing": ["before -", "after 0"],
    "hanging": ["before -", "after 0", "after 0"],
    "changed": [],
    "offline": [],
}
NOTE = '#!/bin/bash\necho "$N2W_INSTANCE_ID {phase} ${{1:--}} $EPOCHREALTIME" >>{marks}\n{body}\n'


@dataclass(frozen=True)
class Note:
    """A line that a script left: what began on which instance, with which argument, when."""

    instance: str
    phase: str
    argument: str
    at: float


@contextlib.contextmanager
def over_ssh() -> Iterator[Bed]:
    """Serve a policy of ten instances, of which two have an sshd of their own, as far as a client can tell."""
    also = {"offline": ["PermitTTY no"]}
    with (
        network.own() as between,
        processes.folder() as folder,
        sshd.running(folder / "sshd", also=also) as server,
        sshd.running(folder / "changed") as changed,
        beds.made_over_ssh(folder, server, between) as bed,
    ):
        ports = {"changed": changed.port, "offline": server.ports["offline"]}
        for name, key in (("changed", changed.host_key), ("offline", server.host_key)):
            words = ("--port", str(ports[name]), "--fingerprint", key)
            bed.product.succeed("approve_host", OWNER, "127.0.0.1", *words)
        changed.change_host_key()
        targets = [_target(bed, server, ports.get(each, server.port)) for each in TROUBLES]
        bed.always = {"targets": targets}
        yield bed


def _target(bed: Bed, server: sshd.Sshd, port: int) -> dict[str, object]:
    made = bed.product.aws.add_instance(volumes=[VolumeSpec()])
    return beds.way_to(server, made.instance_id, {}, port)


def _instances(bed: Bed) -> list[tuple[str, str]]:
    """Return each instance, and its trouble."""
    targets = bed.always["targets"]
    return [(each["instance"], trouble) for each, trouble in zip(targets, TROUBLES, strict=True)]


def _make_trouble(bed: Bed, _: str) -> None:
    """Write the scripts, and let one of them be offline: nobody there answers, nor refuses."""
    assert bed.sshd is not None
    assert bed.network is not None
    (bed.product.folder / f"before_{POLICY}@all.sh").unlink()
    for instance, trouble in _instances(bed):
        _write(bed, f"before_{POLICY}@{instance}.sh", BODIES.get(trouble, ""))
    _write(bed, f"after_{POLICY}@all.sh", "")
    bed.network.cut(bed.sshd.ports["offline"])


def _write(bed: Bed, name: str, body: str) -> None:
    phase, marks = name.partition("_")[0], bed.gates / "notes"
    (bed.product.folder / name).write_text(NOTE.format(phase=phase, marks=marks, body=body))


def _notes(bed: Bed, instance: str) -> list[Note]:
    lines = (bed.gates / "notes").read_text().splitlines()
    every = [Note(a, b, c, float(d)) for a, b, c, d in map(str.split, lines)]
    return [note for note in every if note.instance == instance]


def judge_ten(bed: Bed, fault: Fault, moment: str, run: str) -> Finding:
    """Look at what ran on each instance, when, and at what the run says of it."""
    shown = bed.product.show(run)
    found = Finding(fault.name, moment, state=shown["state"], consistency=shown["consistency"])
    told = {target["instance"]: target for target in shown["targets"]}
    windows = []
    for instance, trouble in _instances(bed):
        notes = _notes(bed, instance)
        ran = [f"{note.phase} {note.argument}" for note in notes]
        found.before = max(found.before, sum(note.phase == "before" for note in notes))
        if ran != WANTED[trouble]:
            found.wrong.append(f"the {trouble} one ran {ran}")
        elif ran:
            windows.append(notes[1].at - notes[0].at)
        found.wrong += _untrue(trouble, told[instance])
    found.thawed_seconds, found.argument = max(windows, default=None), "1"
    found.fired = 1
    if len({s.snapshot_id for s in judge.of(bed, run)}) != len(TROUBLES):
        found.wrong.append("not each instance has its snapshot")
    if max(windows, default=0.0) > LEEWAY * (TIMEOUT_SECONDS + GRACE_SECONDS):
        found.wrong.append(f"one was frozen for {max(windows):.2f} s")
    if found.state != "partial":
        found.wrong.append(f"the run ended {found.state}")
    found.complete = len(bed.product.marks("complete", "start"))
    return found


def _untrue(trouble: str, target: dict[str, str]) -> Iterator[str]:
    is_well = trouble == "well"
    if (target["consistency"] == "application") != is_well:
        yield f"the {trouble} one is called {target['consistency']}"
    if is_well and target["thaw_by"] != "worker":
        yield f"the {trouble} one was thawed by {target['thaw_by']!r}"


FAULTS = (
    Fault(
        "of ten instances one is offline, one fails, one hangs, one has another host key",
        {"before": Expected("1", "partial", "crash")},
        prepare=_make_trouble,
        by_itself=True,
        bed="ten over ssh",
        policy={
            "scripts": {"timeout_seconds": {"before": TIMEOUT_SECONDS, "after": 60, "complete": 60}}
        },
        is_quick=False,
        judge=judge_ten,
    ),
)
