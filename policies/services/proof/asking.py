"""Asking for a proof of a restore point; a worker, or the caller, makes it."""

from collections.abc import Sequence
from typing import NamedTuple

from django.db import IntegrityError, transaction

from n2wbackup.lib import clock
from policies.adapters import broker
from policies.domain import proofs
from policies.domain.errors import RefusedError
from policies.domain.proofs import Level, Recipe
from policies.models import Proof, ProofEvent, Run, RunSnapshot, RunTarget
from scripts_admin import permissions
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.models import User
from scripts_admin.services import audit


class Wish(NamedTuple):
    """What is to be proven of a run. None and "": as its policy says. `snapshot`: that one only."""

    level: int | None = None
    recipe: str = ""
    snapshot: str = ""
    full: bool = False


def ask(run: Run, wish: Wish, *, by: str, person: User | None = None) -> Proof:
    """Queue a proof of the run; `by` is empty where the server does it by itself.

    RefusedError, and nothing done, if the run cannot be proven or is being proven already.
    """
    if person is not None and not permissions.may_run(person, run):
        message = f"{by} is not allowed to prove {run.label}: ask its owner or a superuser."
        raise RefusedError(message)
    level, recipe = _wanted(run, wish)
    region, snapshots = _snapshots(run, wish.snapshot)
    now = clock.now()
    try:
        with transaction.atomic(), audit.done_by(person):
            proof = Proof.objects.create(
                run=run,
                policy=run.policy,
                owner=run.owner,
                snapshot_ids=snapshots,
                snapshot_id=snapshots[0],
                region=region,
                level=level,
                recipe=recipe,
                full=wish.full,
                requested_by=by,
                asked_at=now,
                next_at=now,
            )
            whose = f"by {by}" if by else "by the policy's schedule"
            note(proof, f"Asked for level {level.value} ({level.word}) {whose}.")
            if by:
                of = audit.subject(Kind.RUN, run, run.label)
                audit.record(Action.PROVED, of, [Change("proof", "", str(proof.pk))])
            broker.on_commit(broker.PROOF, proof.pk)
    except IntegrityError:
        busy = Proof.objects.filter(run=run, ended_at=None).first()
        message = f"Run {run.pk} is being proven already: wait for proof {busy}."
        raise RefusedError(message) from None
    return proof


def note(proof: Proof, text: str) -> None:
    """Add a line to the proof's history."""
    ProofEvent.objects.create(proof=proof, at=clock.now(), state=proof.state, text=text)


def _wanted(run: Run, wish: Wish) -> tuple[Level, str]:
    policy = run.policy
    kept = policy.proof_recipe if policy else Recipe.NONE
    recipe = wish.recipe or kept
    if recipe not in proofs.WORDS:
        known = ", ".join(proofs.WORDS)
        message = f"There is no recipe {recipe!r} for proofs: choose one of {known}."
        raise RefusedError(message)
    usual = policy.proof_level if policy else Level.MOUNTS
    if wish.level is None and wish.recipe not in {"", Recipe.NONE}:
        usual = max(usual, Level.STARTS)
    wanted = usual if wish.level is None else wish.level
    if wanted not in set(Level):
        message = f"There is no level {wanted}: the levels are 0 (readable), 1 (mounts), 2 (starts) and 3 (agrees)."
        raise RefusedError(message)
    if wanted >= Level.STARTS and recipe == Recipe.NONE:
        message = (
            f"Level {wanted} starts an application, and none is named: name a recipe (postgresql, mariadb, redis "
            "or files), here or in the policy."
        )
        raise RefusedError(message)
    return Level(wanted), recipe


def _snapshots(run: Run, wanted: str) -> tuple[str, list[str]]:
    """Return the region and the snapshots to try, those of data volumes first."""
    there = RunSnapshot.objects.select_related("target__description").filter(target__run=run)
    if wanted:
        row = there.filter(snapshot_id=wanted).first()
        if row is None:
            message = f"Run {run.pk} has no snapshot {wanted}: show_run lists those that it has."
            raise RefusedError(message)
        return row.target.region, [wanted]
    usable = there.filter(state=RunSnapshot.State.COMPLETED).order_by("target", "pk")
    rows = sorted(usable, key=_is_boot)
    if not rows:
        message = f"Run {run.pk} is no restore point: it has no completed snapshot to prove."
        raise RefusedError(message)
    region = rows[0].target.region
    return region, [row.snapshot_id for row in rows if row.target.region == region]


def _is_boot(row: RunSnapshot) -> bool:
    return row.volume_id == _boot_volume(row.target)


def _boot_volume(target: RunTarget) -> str:
    known = target.description.document if target.description else {}
    instance = known.get("instance") or {}
    root = instance.get("RootDeviceName")
    devices: Sequence[dict[str, object]] = instance.get("BlockDeviceMappings") or ()
    for device in devices:
        if device.get("DeviceName") == root:
            ebs = device.get("Ebs")
            return str(ebs.get("VolumeId", "")) if isinstance(ebs, dict) else ""
    return ""
