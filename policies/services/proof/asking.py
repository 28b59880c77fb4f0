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
from policies.selectors import sources
from policies.selectors.sources import Piece
from scripts_admin import permissions
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.models import User
from scripts_admin.services import audit


class Wish(NamedTuple):
    """What is to be proven of a run. None and "": as its policy says. `snapshot`: that one only, or that copy.

    `source`: the copies of this place; without, the snapshots themselves, or copies if nothing else is left.
    """

    level: int | None = None
    recipe: str = ""
    snapshot: str = ""
    full: bool = False
    source: str = ""


def ask(run: Run, wish: Wish, *, by: str, person: User | None = None) -> Proof:
    """Queue a proof of the run; `by` is empty where the server does it by itself.

    RefusedError, and nothing done, if the run cannot be proven or is being proven already.
    """
    if person is not None and not permissions.may_run(person, run):
        message = f"{by} is not allowed to prove {run.label}: ask its owner or a superuser."
        raise RefusedError(message)
    level, recipe = _wanted(run, wish)
    pieces = _pieces(run, wish)
    first, snapshots = pieces[0], [piece.snapshot_id for piece in pieces]
    now = clock.now()
    try:
        with transaction.atomic(), audit.done_by(person):
            proof = Proof.objects.create(
                run=run,
                policy=run.policy,
                owner=run.owner,
                snapshot_ids=snapshots,
                snapshot_id=snapshots[0],
                region=first.region,
                place=first.place,
                account=first.account if first.copy else None,
                level=level,
                recipe=recipe,
                full=wish.full,
                requested_by=by,
                asked_at=now,
                next_at=now,
            )
            whose = f"by {by}" if by else "by the policy's schedule"
            what = f" of the {sources.in_words(first.place)}" if first.copy else ""
            note(proof, f"Asked for level {level.value} ({level.word}){what} {whose}.")
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


def _pieces(run: Run, wish: Wish) -> list[Piece]:
    """Return the snapshots or copies to try, all in one place, those of data volumes first."""
    found = sources.within(run, sources.of_run(run), wish.source)
    if wish.snapshot:
        return [_named(run, wish.snapshot, found)]
    if not found:
        message = f"Run {run.pk} is no restore point: it has no completed snapshot to prove."
        raise RefusedError(message)
    first = found[0]
    together = [each for each in found if (each.place, each.region) == (first.place, first.region)]
    return sorted(together, key=lambda piece: _is_boot(piece.made))


def _named(run: Run, wanted: str, pieces: Sequence[Piece]) -> Piece:
    """Return the snapshot or copy with this id; a snapshot also if it cannot be proven now."""
    for piece in pieces:
        if piece.snapshot_id == wanted:
            return piece
    row = RunSnapshot.objects.select_related("target__description").filter(target__run=run)
    found = row.filter(snapshot_id=wanted).first()
    if found is None:
        message = f"Run {run.pk} has no snapshot {wanted}: show_run lists those that it has."
        raise RefusedError(message)
    return Piece(wanted, found.volume_id, found.target.region, run.account, found)


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
