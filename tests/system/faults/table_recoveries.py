"""What happens to a recovery when a process dies, AWS fails, or what it needs goes away, at each of its steps.

Each has one of four kinds. Once it has ended, AWS has exactly what the rows say; what is done is then undone, so that
each cell also shows that a recovery struck like this can be taken back to the last resource.
"""

from collections.abc import Callable, Mapping
from functools import partial

from tests.contract.aws_clients import ec2
from tests.system.faults import points
from tests.system.faults.bed import Bed
from tests.system.faults.recovered import Kind, Recovering
from tests.system.faults.table import Expected, ends, struck

VOLUME = Kind(
    "a volume",
    ("--volume", "{data}", "--attach", "{instance}:/dev/sdx", "--confirm", "{instance}"),
    device="/dev/sdx",
)
IN_PLACE = Kind(
    "a volume in place",
    ("--in-place", "--volume", "{data}", "--stop", "--confirm", "{instance}"),
    device="data",
)
ROOT = Kind(
    "a root in place",
    ("--in-place", "--volume", "{root}", "--confirm", "{instance}"),
    device="root",
)
INSTANCE = Kind("an instance", ("--instance",), volumes=2, instances=1)
# The calls of each kind, in their order, and those that undo it.
CALLS: Mapping[Kind, tuple[str, ...]] = {
    VOLUME: ("CreateVolume", "AttachVolume"),
    IN_PLACE: (
        *("CreateVolume", "StopInstances", "DetachVolume", "AttachVolume"),
        *("ModifyInstanceAttribute", "CreateTags", "StartInstances"),
    ),
    ROOT: ("CreateReplaceRootVolumeTask", "CreateTags"),
    INSTANCE: ("RegisterImage", "RunInstances", "DeregisterImage"),
}
BACK: Mapping[Kind, tuple[str, ...]] = {
    VOLUME: ("DetachVolume", "DeleteVolume"),
    IN_PLACE: (
        *("StopInstances", "DetachVolume", "AttachVolume"),
        *("ModifyInstanceAttribute", "StartInstances", "DeleteVolume"),
    ),
    ROOT: ("StopInstances", "DetachVolume", "AttachVolume", "StartInstances", "DeleteVolume"),
    INSTANCE: ("TerminateInstances",),
}
# Each call once: where AWS fails, it is the call that counts, and not what is restored.
EACH_CALL: Mapping[str, Kind] = {
    "CreateVolume": VOLUME,
    "AttachVolume": VOLUME,
    "StopInstances": IN_PLACE,
    "DetachVolume": IN_PLACE,
    "ModifyInstanceAttribute": IN_PLACE,
    "CreateTags": IN_PLACE,
    "StartInstances": IN_PLACE,
    "CreateReplaceRootVolumeTask": ROOT,
    "RegisterImage": INSTANCE,
    "RunInstances": INSTANCE,
    "DeregisterImage": INSTANCE,
}
LOOKS: Mapping[str, Kind] = {
    "DescribeVolumes": VOLUME,
    "DescribeInstances": IN_PLACE,
    "DescribeReplaceRootVolumeTasks": ROOT,
    "DescribeImages": INSTANCE,
    "DescribeVolumeStatus": INSTANCE,
}
DELETES: Mapping[str, Kind] = {
    "DetachVolume": VOLUME,
    "DeleteVolume": VOLUME,
    "TerminateInstances": INSTANCE,
}
MORE_THAN_THE_SDK = 4  # it asks three times by itself
HANG_SECONDS = 35.0  # it waits 30 s for an answer
DONE, FAILED = ends("done"), ends("failed")
Way = Callable[[Bed, str], Recovering]


_fault = partial(struck, bed="restore point")


# Processes


def _killed(kind: Kind, strike: Callable[[Bed, str], None]) -> Way:
    def way(bed: Bed, moment: str) -> Recovering:
        found = Recovering(bed, kind)
        found.strike_at(moment, strike)
        return found

    return way


def _killed_in_undo(kind: Kind) -> Way:
    def way(bed: Bed, moment: str) -> Recovering:
        found = Recovering(bed, kind)
        found.strike_at_undo(moment, points.kill_worker)
        return found

    return way


def _each(calls: tuple[str, ...], expected: Expected, *whens: str) -> dict[str, Expected]:
    return {f"{when} {call}": expected for call in calls for when in whens}


_QUICK = {IN_PLACE: "after AttachVolume"}
PROCESSES = (
    *(
        _fault(
            f"SIGKILL of the worker that restores {kind.name}",
            _each(calls, DONE, "before", "after"),
            _killed(kind, points.kill_worker),
            quick=_QUICK.get(kind, ""),
        )
        for kind, calls in CALLS.items()
    ),
    *(
        _fault(
            f"SIGKILL of the worker that takes {kind.name} back",
            _each(calls, ends("undone"), "after"),
            _killed_in_undo(kind),
        )
        for kind, calls in BACK.items()
    ),
    *(
        _fault(
            f"everything killed while {kind.name} is restored, then a start",
            {f"after {call}": DONE},
            _killed(kind, points.kill_and_start),
        )
        for kind, call in (
            (VOLUME, "CreateVolume"),
            (IN_PLACE, "DetachVolume"),
            (ROOT, "CreateReplaceRootVolumeTask"),
            (INSTANCE, "RunInstances"),
        )
    ),
)


# AWS


def _failing(kinds: Mapping[str, Kind], fault_kind: str, times: int | None, **more: float) -> Way:
    def way(bed: Bed, moment: str) -> Recovering:
        action, deed = points.at(moment)
        found = Recovering(bed, kinds[action])
        bed.product.aws.fault(action, fault_kind, times=times, deed=deed, **more)  # type: ignore[arg-type]
        found.ask()
        return found

    return way


def _failing_look(bed: Bed, moment: str) -> Recovering:
    """Let AWS throttle a question from when the first deed is asked for: the command asks, too, before that."""
    action, _ = points.at(moment)
    kind = LOOKS[action]
    found, first = Recovering(bed, kind), f"before {CALLS[kind][0]}"
    points.hold_up(bed, first)
    found.ask()
    bed.wait_until(lambda: points.is_held(bed, first), first)
    bed.product.aws.clear_faults()
    bed.product.aws.fault(action, "throttle", times=MORE_THAN_THE_SDK)
    return found


def _failing_in_undo(fault_kind: str, times: int) -> Way:
    def way(bed: Bed, moment: str) -> Recovering:
        action, deed = points.at(moment)
        found = Recovering(bed, DELETES[action])
        found.ask()
        found.wait()
        bed.product.aws.fault(action, fault_kind, times=times, deed=deed)  # type: ignore[arg-type]
        found.undo()
        return found

    return way


def _refused_for_good(bed: Bed, moment: str) -> Recovering:
    """Let AWS refuse until the recovery says why it waits: it has not ended while the old volume is detached."""
    found = Recovering(bed, IN_PLACE)
    action, _ = points.at(moment)
    bed.product.aws.fault(action, "denied", times=None)
    found.ask()
    sql = "SELECT count(*) FROM policies_recovery WHERE ending <> '' AND waiting_for LIKE ?"
    points.until(
        bed, lambda: bed.query(sql, f"%{action}%")[0][0], "it tells what it waits for", "recoveries"
    )
    assert found.state == "working"
    bed.product.aws.clear_faults()
    return found


_BEFORE_EACH = _each(tuple(EACH_CALL), DONE, "before")
AWS = (
    _fault(
        "AWS throttles a recovery",
        _BEFORE_EACH,
        _failing(EACH_CALL, "throttle", MORE_THAN_THE_SDK),
    ),
    _fault(
        "AWS throttles the looks of a recovery",
        _each(tuple(LOOKS), DONE, "before"),
        _failing_look,
    ),
    _fault(
        "AWS answers a recovery with 500",
        _BEFORE_EACH,
        _failing(EACH_CALL, "error_500", MORE_THAN_THE_SDK),
    ),
    _fault(
        "AWS refuses a recovery",
        _each(tuple(EACH_CALL), ends("failed"), "before"),
        _failing(EACH_CALL, "denied", 1),
    ),
    _fault(
        "AWS refuses it, and that it is taken back",
        {"before AttachVolume": ends("failed", "AttachVolume")},
        _refused_for_good,
    ),
    _fault(
        "AWS's answer to a recovery is lost",
        _each(tuple(EACH_CALL), DONE, "after"),
        _failing(EACH_CALL, "lost_answer", 1),
        quick="after RunInstances",
    ),
    _fault(
        "AWS's answers to a recovery are lost, with the SDK's repetitions",
        _each(tuple(EACH_CALL), DONE, "after"),
        _failing(EACH_CALL, "lost_answer", MORE_THAN_THE_SDK),
    ),
    _fault(
        "AWS hangs while it restores",
        _each(("CreateVolume", "AttachVolume", "RegisterImage", "RunInstances"), DONE, "after"),
        _failing(EACH_CALL, "hang", 1, seconds=HANG_SECONDS),
        lasts=HANG_SECONDS,
    ),
    _fault(
        "AWS throttles the undoing",
        _each(tuple(DELETES), ends("undone"), "before"),
        _failing_in_undo("throttle", MORE_THAN_THE_SDK),
    ),
    _fault(
        "AWS refuses the undoing twice",
        _each(tuple(DELETES), ends("undone"), "before"),
        _failing_in_undo("denied", 2),
    ),
    _fault(
        "answers to the undoing are lost",
        _each(tuple(DELETES), ends("undone"), "after"),
        _failing_in_undo("lost_answer", MORE_THAN_THE_SDK),
    ),
)


# What it needs


def _snapshot_gone(kind: Kind) -> Way:
    """The restore point is one of the cell's own: the bed's stays."""

    def way(bed: Bed, moment: str) -> Recovering:
        kept, bed.point = bed.point, bed.product.start_run()
        bed.helpers.callback(setattr, bed, "point", kept)
        bed.product.wait_for_end(bed.point)
        mine = [s for s in bed.product.aws.snapshots() if s.tags.get("n2wbackup:run") == bed.point]
        found = Recovering(bed, kind)
        found.goes |= {snapshot.snapshot_id for snapshot in mine}

        def delete(bed: Bed, _: str) -> None:
            for snapshot in mine:
                bed.product.aws.delete_snapshot(snapshot.snapshot_id)
            bed.product.aws.clear_faults()

        found.strike_at(moment, delete)
        return found

    return way


def _end(bed: Bed, instance: str) -> None:
    ec2(bed.product.aws).terminate_instances(InstanceIds=[instance])
    bed.product.aws.clear_faults()


def _other_instance_gone(bed: Bed, moment: str) -> Recovering:
    """The volume is to be attached to an instance of the cell's own."""
    other = bed.product.aws.add_instance()
    found = Recovering(bed, VOLUME, other.instance_id)
    found.goes |= {other.instance_id, *other.volume_ids}
    found.strike_at(moment, lambda bed, _: _end(bed, other.instance_id))
    return found


def _instance_gone(kind: Kind) -> Way:
    def way(bed: Bed, moment: str) -> Recovering:
        found = Recovering(bed, kind)
        found.goes |= {found.instance, *found.attached.values()}
        found.strike_at(moment, lambda bed, _: _end(bed, found.instance))
        return found

    return way


NEEDS = (
    _fault(
        "the snapshot is deleted while a volume is restored",
        {"before CreateVolume": ends("failed", "snap-")},
        _snapshot_gone(VOLUME),
    ),
    _fault(
        "the snapshots are deleted while an instance is restored",
        {"before RegisterImage": ends("failed", "snap-")},
        _snapshot_gone(INSTANCE),
    ),
    _fault(
        "the instance is terminated that is to get the volume",
        _each(("CreateVolume", "AttachVolume"), FAILED, "before"),
        _other_instance_gone,
    ),
    _fault(
        "the instance is terminated while its volume is replaced",
        _each(("CreateVolume", "DetachVolume"), FAILED, "before")
        | _each(("DetachVolume",), FAILED, "after"),
        _instance_gone(IN_PLACE),
        spares_server=False,
    ),
    _fault(
        "the instance is terminated while its root is replaced",
        _each(("CreateReplaceRootVolumeTask",), FAILED, "before"),
        _instance_gone(ROOT),
        spares_server=False,
    ),
)
FAULTS = (*PROCESSES, *AWS, *NEEDS)
