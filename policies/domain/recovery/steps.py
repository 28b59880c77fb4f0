"""The steps of each kind of recovery, in their order, and the steps that take them back. Pure.

A step that needs what an earlier one has made names its position (`of`). Positions are those of the whole recovery:
the steps that take back stand behind those that they take back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

KEPT, REPLACED_BY = "n2wbackup:kept-until", "n2wbackup:replaced-by"


class Deed(StrEnum):
    """What a step does. Each can be done again: it looks first whether it is done already."""

    CREATE = "create volume"
    ATTACH = "attach volume"
    DETACH = "detach volume"
    SET_DELETION = "set deletion"
    TAG = "tag volume"
    TAG_VOLUMES = "tag volumes"
    DELETE = "delete volume"
    STOP = "stop instance"
    START = "start instance"
    END = "terminate instance"
    ROOT = "replace root volume"
    REGISTER = "register image"
    LAUNCH = "run instance"
    DEREGISTER = "deregister image"
    SWEEP = "look for what is left"
    FETCH = "copy files"


MAKING = frozenset({Deed.CREATE, Deed.ROOT, Deed.REGISTER, Deed.LAUNCH})


class StepState(StrEnum):
    """BEGUN: it was said to AWS, or was about to be; whether it happened is seen by looking."""

    PLANNED = "planned"
    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"  # the recovery was taken back before it began


@dataclass(frozen=True, slots=True)
class Step:
    """One deed with all that it needs, as JSON values."""

    deed: Deed
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the volume to be replaced is attached now."""

    instance_id: str
    device: str
    volume_id: str
    deletes: bool  # it goes when the instance ends
    zone: str


def volume(wanted: Mapping[str, Any], instance_id: str = "", device: str = "") -> list[Step]:
    """Return the steps for a new volume, attached if an instance is named."""
    made = [Step(Deed.CREATE, wanted)]
    if instance_id:
        made.append(Step(Deed.ATTACH, {"of": 0, "instance": instance_id, "device": device}))
    return made


def in_place(
    wanted: Mapping[str, Any], place: Place, *, stops: bool, kept_until: str
) -> list[Step]:
    """Return the steps for a new volume in the place of another, which stays for some days."""
    at = {"instance": place.instance_id, "device": place.device}
    old = {**at, "volume": place.volume_id, "deletes": place.deletes}
    stop = [Step(Deed.STOP, {"instance": place.instance_id})] if stops else []
    start = [Step(Deed.START, {"instance": place.instance_id})] if stops else []
    return [
        Step(Deed.CREATE, wanted),
        *stop,
        Step(Deed.DETACH, old),
        Step(Deed.ATTACH, {**at, "of": 0}),
        Step(Deed.SET_DELETION, {**at, "of": 0, "deletes": place.deletes}),
        Step(Deed.TAG, {"volume": place.volume_id, "tags": {KEPT: kept_until}, "by": 0}),
        *start,
    ]


def root_in_place(snapshot_id: str, place: Place, *, kept_until: str) -> list[Step]:
    """Return the steps for a new root volume of a running instance."""
    old = {
        "instance": place.instance_id,
        "device": place.device,
        "volume": place.volume_id,
        "deletes": place.deletes,
        "snapshot": snapshot_id,
    }
    return [
        Step(Deed.ROOT, old),
        Step(Deed.TAG, {"of": 0, "ours": True, "tags": {}}),
        Step(Deed.TAG, {"volume": place.volume_id, "tags": {KEPT: kept_until}, "by": 0}),
    ]


def instance(
    image: Mapping[str, Any],
    launch: Mapping[str, Any],
    tags: Mapping[str, str],
    volume_tags: Mapping[str, Mapping[str, str]],
) -> list[Step]:
    """Return the steps for a whole instance; the image serves only to start it."""
    tagged = {device: dict(of) for device, of in volume_tags.items() if of}
    return [
        Step(Deed.REGISTER, {"parameters": image}),
        Step(Deed.LAUNCH, {"of": 0, "parameters": launch, "tags": dict(tags)}),
        *([Step(Deed.TAG_VOLUMES, {"of": 1, "tags": tagged})] if tagged else []),
        Step(Deed.DEREGISTER, {"of": 0}),
    ]


def backward(begun: Sequence[tuple[int, Step]]) -> list[Step]:
    """Return the steps that take these back, given with their positions: the last one first.

    What was begun may have happened or not. At the end everything that bears the recovery's tag is looked for.
    """
    found: list[Step] = []
    for position, step in reversed(begun):
        found += _against(position, step)
    return [*found, Step(Deed.SWEEP)] if found else []


def _against(position: int, step: Step) -> list[Step]:  # noqa: PLR0911 - one return a deed
    params, own = step.params, {"of": position}
    at = {key: params[key] for key in ("instance", "device") if key in params}
    match step.deed:
        case Deed.CREATE:
            return [Step(Deed.DELETE, own)]
        case Deed.ATTACH:
            return [Step(Deed.DETACH, {"of": params["of"], "instance": params["instance"]})]
        case Deed.DETACH:
            return _hung_back(params)
        case Deed.STOP:
            return [Step(Deed.START, at)]
        case Deed.START:
            return [Step(Deed.STOP, at)]
        case Deed.TAG if "volume" in params:
            blank = {KEPT: "", REPLACED_BY: ""}
            return [Step(Deed.TAG, {"volume": params["volume"], "tags": blank})]
        case Deed.ROOT:
            stop, start = Step(Deed.STOP, at), Step(Deed.START, at)
            off = Step(Deed.DETACH, {**own, "instance": params["instance"]})
            return [stop, off, *_hung_back(params), start, Step(Deed.DELETE, own)]
        case Deed.REGISTER:
            return [Step(Deed.DEREGISTER, own)]
        case Deed.LAUNCH:
            return [Step(Deed.END, own)]
        case _:
            return []


def _hung_back(params: Mapping[str, Any]) -> list[Step]:
    at = {key: params[key] for key in ("instance", "device", "volume")}
    return [Step(Deed.ATTACH, at), Step(Deed.SET_DELETION, {**at, "deletes": params["deletes"]})]


def sentence(step: Step, made: str = "") -> str:
    """Return what the step does, for people. `made`: the id of what it works on, once that is known."""
    params = step.params
    thing = made or str(params.get("volume") or "the new volume")
    where = f"{params.get('instance', '')} at {params.get('device', '')}"
    return {
        Deed.CREATE: (
            f"Create a volume{_sizes(params)} from {params.get('snapshot')} in {params.get('zone')}."
        ),
        Deed.ATTACH: f"Attach {thing} to {where}.",
        Deed.DETACH: f"Detach {thing} from {params.get('instance')}.",
        Deed.SET_DELETION: (
            f"Set that the volume at {params.get('device')} is {'deleted' if params.get('deletes') else 'kept'} when "
            f"{params.get('instance')} is terminated, as before."
        ),
        Deed.TAG: f"Tag {thing}.",
        Deed.TAG_VOLUMES: "Give the new volumes the tags of the old ones.",
        Deed.DELETE: f"Delete {made or 'the new volume'}, which this recovery made.",
        Deed.STOP: f"Stop {params.get('instance')}.",
        Deed.START: f"Start {params.get('instance')}.",
        Deed.END: f"Terminate {made or 'the new instance'}, which this recovery made.",
        Deed.ROOT: (
            f"Replace the root volume of {params.get('instance')} by {params.get('snapshot')}; it restarts, and "
            f"{params.get('volume')} stays."
        ),
        Deed.REGISTER: "Register an image of the snapshots, which serves only to start the instance.",
        Deed.LAUNCH: f"Start a new instance ({_launched(params)}).",
        Deed.DEREGISTER: "Take the image away again; the snapshots stay.",
        Deed.SWEEP: "Look for anything else that this recovery made, and take it away.",
        Deed.FETCH: f"Copy {params.get('path')} to {params.get('folder')}.",
    }[step.deed]


def _sizes(params: Mapping[str, Any]) -> str:
    said = [str(params["type"])] if params.get("type") else []
    said += [f"{params[key]} {unit}" for key, unit in _UNITS.items() if params.get(key)]
    return f" ({', '.join(said)})" if said else ""


_UNITS = {"iops": "IOPS", "throughput": "MiB/s", "rate": "MiB/s of initialization"}


def _launched(params: Mapping[str, Any]) -> str:
    given = params.get("parameters", {})
    said = [given.get("InstanceType", ""), given.get("SubnetId", "")]
    said.append(given.get("Placement", {}).get("AvailabilityZone", ""))
    return ", ".join(each for each in said if each)
