"""What a recovery would do: its steps, from the restore point, the person's choices, and AWS as it is now."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from n2wbackup.lib import clock
from policies.domain.errors import BackupError, NotFoundError, RefusedError
from policies.domain.recovery import aws_words, described, steps
from policies.domain.recovery.described import Change, Difference
from policies.domain.recovery.states import Kind
from policies.domain.recovery.steps import Place, Step
from policies.models import Account, Run, RunTarget
from policies.ports import Cloud, Instance
from policies.selectors import sources
from policies.selectors.sources import Piece
from policies.services.recovery import choosing, undescribed
from policies.services.recovery.choosing import Chosen
from policies.services.window import credentials
from scripts_admin.models import User

KEEP_DAYS = 7


@dataclass(frozen=True, slots=True)
class Choices:
    """What the person wants. Empty or 0: as it was, or as AWS decides.

    `volume_id`, `instance_id`: of the restore point; `attach_to`: of today. `stops`: stop a running instance and start
    it again; `unmounted`: the volume is not in use there, on the person's word.
    """

    kind: Kind
    volume_id: str = ""
    instance_id: str = ""
    attach_to: str = ""
    device: str = ""
    zone: str = ""
    subnet_id: str = ""
    instance_type: str = ""
    name: str = ""
    volume_type: str = ""
    iops: int = 0
    throughput: int = 0
    kms_key_id: str = ""
    rate: int = 0
    stops: bool = False
    unmounted: bool = False
    keep_days: int = KEEP_DAYS
    account: str = ""
    source: str = ""  # a place, see selectors/sources.py; empty: the snapshots themselves
    path: str = ""
    folder: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what differs from nothing at all."""
        return {key: of for key, of in asdict(self).items() if of}


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a recovery, where they happen, and what a person should know before."""

    run: Run
    account: Account
    region: str
    subject: str
    choices: Choices
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = field(default=())
    touches: str = ""  # the instance that is changed: its id is to be typed
    copies: tuple[UUID, ...] = ()  # from which it is made; none: the run's own snapshots

    def sentences(self) -> list[str]:
        """Return what will be done, in order."""
        return [steps.sentence(each) for each in self.steps]


def plan(run: Run, choices: Choices, *, by: User | None = None) -> Plan:
    """Return what would be done; RefusedError or AwsError if it cannot be. AWS is asked, and nothing is changed.

    `by`: who asks; without, this machine's command line.
    """
    if choices.kind == Kind.INSTANCE:
        return _whole(run, choices, by)
    chosen = choosing.volume(run, choices.volume_id, choices.source, choices.account)
    (found,) = chosen.pieces
    account = choosing.account(run, found, choices.account, by)
    choices = replace(choices, source=chosen.place)
    if choices.kind == Kind.VOLUME:
        made = _volume(run, account, choices, found, by)
    elif choices.kind in {Kind.VOLUME_IN_PLACE, Kind.ROOT_IN_PLACE}:
        _refuse_far(chosen)
        made = _in_place(run, account, choices, found)
    else:
        message = f"Run {run.pk}: files of {found.volume_id} in {found.region} are restored from their own page."
        raise RefusedError(message)
    return replace(made, notes=(*chosen.notes, *made.notes), copies=_copies(chosen))


def _copies(chosen: Chosen) -> tuple[UUID, ...]:
    return tuple(piece.copy for piece in chosen.pieces if piece.copy)


def _document(target: RunTarget) -> Mapping[str, Any]:
    return target.description.document if target.description else {}


def _described_volume(found: Piece) -> Mapping[str, Any]:
    said: Mapping[str, Any] = _document(found.target).get("volumes", {}).get(found.volume_id, {})
    return said


def _wanted(found: Piece, choices: Choices, zone: str) -> dict[str, Any]:
    """Return the new volume: as the old one was, unless the person wants it otherwise."""
    then = _described_volume(found)
    kind = choices.volume_type or str(then.get("VolumeType", ""))
    same = not choices.volume_type or choices.volume_type == then.get("VolumeType")
    iops = choices.iops or (int(then.get("Iops") or 0) if same else 0)
    throughput = choices.throughput or (int(then.get("Throughput") or 0) if same else 0)
    wanted: dict[str, Any] = {
        "snapshot": found.snapshot_id,
        "zone": zone,
        "type": kind,
        "iops": iops if kind in {"gp3", "io1", "io2"} else 0,
        "throughput": throughput if kind == "gp3" else 0,
        "kms": choices.kms_key_id,
        "rate": choices.rate,
        "tags": described.own_tags(then),
    }
    return {key: of for key, of in wanted.items() if of}


def _volume(
    run: Run,
    account: Account,
    choices: Choices,
    found: Piece,
    by: User | None,
) -> Plan:
    region, cloud = found.region, choosing.cloud(account)
    then = str(_described_volume(found).get("AvailabilityZone", ""))
    zone = choices.zone or (then if region == found.target.region else "")
    if choices.attach_to:
        _refuse_strangers(run, choices, by)
        instance = _instance(cloud, region, choices.attach_to)
        zone = _free(instance, choices, zone)
    zone = zone or f"{region}a"
    made = steps.volume(_wanted(found, choices, zone), choices.attach_to, choices.device)
    return Plan(
        run, account, region, found.volume_id, choices, tuple(made), touches=choices.attach_to
    )


def _refuse_strangers(run: Run, choices: Choices, by: User | None) -> None:
    """Raise RefusedError if somebody who is not the owner wants to reach an instance that the run is not of.

    The right to restore from a policy opens none of the owner's other machines.
    """
    if by is None or by.is_superuser or by.pk == run.owner_id:
        return
    if not run.targets.filter(instance_id=choices.attach_to).exists():
        message = (
            f"{choices.attach_to} does not belong to run {run.pk}: {by.username} may attach its volumes only there. "
            "Ask the owner."
        )
        raise RefusedError(message)


def _free(instance: Instance, choices: Choices, zone: str) -> str:
    """Return the zone of the instance; RefusedError if nothing can be attached there at the device."""
    there = str((instance.answer.get("Placement") or {}).get("AvailabilityZone", ""))
    if choices.zone and choices.zone != there:
        message = f"{instance.instance_id} is in {there}, and a volume of {choices.zone} cannot be attached there."
        raise RefusedError(message)
    if not choices.device:
        raise RefusedError(
            "Name the device at which the volume is to be attached, such as /dev/sdf."
        )
    rows = instance.answer.get("BlockDeviceMappings", [])
    if choices.device in {row.get("DeviceName") for row in rows}:
        message = f"{choices.device} of {instance.instance_id} is in use: choose another device."
        raise RefusedError(message)
    return there or zone


def _instance(cloud: Cloud, region: str, instance_id: str) -> Instance:
    found = cloud.instances(region, [instance_id]).get(instance_id)
    if found is None:
        message = f"The instance {instance_id} does not exist in {region} any more: restore to a new one instead."
        raise NotFoundError(message)
    return found


def _in_place(run: Run, account: Account, choices: Choices, found: Piece) -> Plan:
    region, cloud = found.region, choosing.cloud(account)
    instance, place = _place(run, found, cloud, choices)
    is_root = place.device == instance.answer.get("RootDeviceName")
    runs = instance.state in aws_words.UP
    kept = f"{clock.now() + timedelta(days=choices.keep_days):%Y-%m-%d}"
    if choices.kind == Kind.ROOT_IN_PLACE and not is_root:
        message = f"{found.volume_id} is not the root volume of {place.instance_id}: restore it as a volume in place."
        raise RefusedError(message)
    if is_root and runs and not choices.stops:
        made = steps.root_in_place(found.snapshot_id, place, kept_until=kept)
        kind = Kind.ROOT_IN_PLACE
    else:
        if runs and not (choices.stops or choices.unmounted):
            message = (
                f"{place.instance_id} is running: let it be stopped and started again, or unmount {place.device} there "
                "and say so."
            )
            raise RefusedError(message)
        wanted = _wanted(found, choices, place.zone)
        stops = runs and choices.stops
        made = steps.in_place(wanted, place, stops=stops, kept_until=kept)
        kind = Kind.VOLUME_IN_PLACE
    note = (
        f"{place.volume_id}, which is there now, is detached and stays. It is tagged to be kept until {kept}; this "
        "server never deletes it."
    )
    changed = Choices(**{**asdict(choices), "kind": kind})
    return Plan(
        run,
        account,
        region,
        found.volume_id,
        changed,
        tuple(made),
        (note,),
        touches=place.instance_id,
    )


def _refuse_far(chosen: Chosen) -> None:
    """Raise RefusedError for a copy: AWS attaches no volume of another region or account to the instance."""
    (found,) = chosen.pieces
    if found.copy:
        message = (
            f"{found.volume_id} cannot be put in its place from the {sources.in_words(found.place)}: AWS attaches no "
            "volume across regions and accounts. Restore it as a new volume, or the whole instance, there."
        )
        raise RefusedError(" ".join((*chosen.notes, message)))


def _place(run: Run, found: Piece, cloud: Cloud, choices: Choices) -> tuple[Instance, Place]:
    """Return the instance and the device at which the volume of the restore point was attached, and what is there."""
    region = found.region
    then = (_described_volume(found).get("Attachments") or [{}])[0]
    instance_id = choices.instance_id or found.target.instance_id or str(then.get("InstanceId", ""))
    if instance_id != found.target.instance_id and instance_id != then.get("InstanceId"):
        message = f"Run {run.pk} has no backup of {instance_id}: choose its own instance."
        raise RefusedError(message)
    instance = _instance(cloud, region, instance_id)
    device = str(then.get("Device", "")) or _device_then(found)
    for row in instance.answer.get("BlockDeviceMappings", []):
        ebs = row.get("Ebs", {})
        if row.get("DeviceName") == device or (
            not device and ebs.get("VolumeId") == found.volume_id
        ):
            zone = str((instance.answer.get("Placement") or {}).get("AvailabilityZone", ""))
            deletes = bool(ebs.get("DeleteOnTermination", False))
            place = Place(
                instance_id, row["DeviceName"], ebs["VolumeId"], deletes, zone or f"{region}a"
            )
            return instance, place
    message = (
        f"No volume is attached to {instance_id} at {device or 'its device'} now: restore a volume and "
        "attach it there."
    )
    raise RefusedError(message)


def _device_then(found: Piece) -> str:
    rows = (_document(found.target).get("instance") or {}).get("BlockDeviceMappings", [])
    return next(
        (str(r["DeviceName"]) for r in rows if r.get("Ebs", {}).get("VolumeId") == found.volume_id),
        "",
    )


def _whole(run: Run, choices: Choices, by: User | None) -> Plan:
    chosen = choosing.instance(run, choices.instance_id, choices.source, choices.account)
    first = chosen.pieces[0]
    account, target = choosing.account(run, first, choices.account, by), first.target
    document, notes = _document(target), chosen.notes
    if not document.get("instance"):
        document = undescribed.document(_where_it_was(first), chosen.pieces)
        notes = (*notes, undescribed.note(first))
    said = document["instance"]
    own = {piece.volume_id: piece.snapshot_id for piece in chosen.pieces}
    change = Change(choices.zone, choices.subnet_id, choices.instance_type, choices.name)
    there = described.elsewhere(
        said,
        region=chosen.region if chosen.region != target.region else "",
        account=account.name if _is_elsewhere(run, account, chosen.region) else "",
    )
    hashed = document.get("user_data_sha256", "")
    try:
        made = described.blueprint(there.said, document.get("volumes", {}), own, change, hashed)
    except ValueError as error:
        message = f"{target.instance_id} cannot be started from run {run.pk}: {error}. Restore its volumes instead."
        raise RefusedError(message) from error
    differences, unknown = _today(first, said)
    all_steps = steps.instance(made.image, made.launch, made.tags, made.volume_tags)
    return Plan(
        run,
        account,
        chosen.region,
        target.instance_id,
        replace(choices, source=chosen.place),
        tuple(all_steps),
        (*notes, *there.notes, *made.notes, *unknown),
        tuple(differences),
        copies=_copies(chosen),
    )


def _is_elsewhere(run: Run, account: Account, region: str) -> bool:
    """Tell whether it is another AWS account; one that was deleted and entered anew is taken for the same."""
    return run.account is not None and not credentials.same_aws(account, run.account, region)


def _where_it_was(piece: Piece) -> Account | None:
    """Return the account of the instance itself."""
    return piece.made.target.run.account if piece.copy else piece.account


def _today(piece: Piece, said: Mapping[str, Any]) -> tuple[list[Difference], tuple[str, ...]]:
    """Return how the instance differs today. Where it was may be lost: a copy is restored all the same."""
    target, own = piece.target, _where_it_was(piece)
    try:
        if own is None:
            raise RefusedError("its account was deleted")
        found = choosing.cloud(own).instances(target.region, [target.instance_id])
    except BackupError as error:
        if not piece.copy:
            raise
        why = str(error).rstrip(".")
        note = f"How {target.instance_id} is today in {target.region} is not known ({why})."
        return [], (note,)
    today = found.get(target.instance_id)
    return described.differences(said, today.answer if today else None), ()
