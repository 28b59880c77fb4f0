"""Proofs as a worker makes them: claim, hold the restore point, try, enter what was found.

One proof of an owner works at a time. A proof whose worker died is begun again, and ends after some tries; what it
left open is closed by its id.
"""

import logging
import os
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid5

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max, Q

from n2wbackup.lib import claims, clock, each, home, outages
from policies.adapters import broker, session
from policies.domain.errors import BackupError, RefusedError
from policies.domain.proofs import Level, State
from policies.domain.retention.points import HoldKind
from policies.models import Copy, Policy, Proof, ProofEvent
from policies.selectors import sources
from policies.services.alarms import raising
from policies.services.proof import asking, levels, living, owners_scripts, telling
from policies.services.proof.levels import Asked, Outcome
from policies.services.retention import holds
from policies.services.window import credentials
from scripts_admin import permissions

log = logging.getLogger(__name__)

CLAIM = timedelta(minutes=60)  # longer than any proof takes
PAUSE = timedelta(minutes=1)
TRIES = 3
_LATELY = timedelta(hours=2)
_AT_ONCE = 20  # hints of one tick
_NOT_ALLOWED = (
    "Snapshots of {0} may not be opened on this server, as its kernel would read their file systems: let a superuser "
    "give {0} the permission 'Can have snapshots opened on this server', or ask for level 0."
)
_GONE = "Each of the {} processes that tried it ended before it knew anything: look at the server's log."


def execute(proof_id: UUID) -> None:
    """Make a proof, if it is due and nobody else has it. Whatever goes wrong, it comes to its end."""
    held = living.hold(proof_id)
    if held is None:
        return
    try:
        proof = _claim(proof_id)
        if proof is not None:
            _make(proof)
    finally:
        living.let_go(proof_id, held)


def _make(proof: Proof) -> None:
    try:
        found = _try(proof)
    except outages.AWAY:
        raise
    except BackupError as error:
        found = Outcome(State.NOT_POSSIBLE, str(error))
    except Exception as error:
        log.exception("proof %s met an error", proof)
        found = Outcome(
            State.NOT_POSSIBLE,
            f"This met an error that nobody foresaw ({outages.named(error)}): look at the server's log.",
        )
    enter(proof, found)
    telling.tag(proof.pk)


def _try(proof: Proof) -> Outcome:
    if proof.tries > TRIES:
        return Outcome(State.NOT_POSSIBLE, _GONE.format(TRIES))
    account, owner = proof.reader, proof.run.owner
    if account is None:
        what = "copy" if proof.place else "run"
        return Outcome(
            State.NOT_POSSIBLE, f"The account of its {what} was deleted, so AWS cannot be asked."
        )
    allowed = owner is not None and permissions.may_open_snapshots(owner)
    if proof.level >= Level.MOUNTS and not allowed:
        return Outcome(State.NOT_POSSIBLE, _NOT_ALLOWED.format(proof.run.owner_name))
    credentials.refuse_withdrawn(account)
    keys = credentials.of(account)
    asked = replace(_asked(proof), credentials=keys)
    return levels.prove(
        asked, session.blocks(keys), session.images(), lambda text: asking.note(proof, text)
    )


def _asked(proof: Proof) -> Asked:
    run = proof.run
    level = Level(proof.level)
    return Asked(
        key=image_key(proof.pk, proof.tries),
        region=proof.region,
        snapshots=proof.snapshot_ids,
        level=level,
        recipe=proof.recipe,
        full=proof.full,
        most_blocks=settings.N2W_PROOF_BLOCKS,
        seconds=float(settings.N2W_PROOF_SECONDS),
        environment={
            "N2W_RUN_ID": str(run.pk),
            "N2W_POLICY": run.policy_name,
            "N2W_OWNER": run.owner_name,
            "N2W_MARK": run.mark,
            "N2W_FIRED_AT": (run.fired_at or run.created_at).isoformat(),
        },
        files=_files(proof, level),
    )


def _files(proof: Proof, level: Level) -> dict[str, bytes]:
    wanted = [owners_scripts.START] if level >= Level.STARTS else []
    wanted += [owners_scripts.VERIFY] if level >= Level.AGREES else []
    found = {word: owners_scripts.text(proof.policy, word) for word in wanted}
    return {word: text for word, text in found.items() if text is not None}


def tick() -> int:
    """Begin again what died here, and send workers to what is due and has not begun."""
    working = Proof.objects.filter(state=State.WORKING, ended_at=None).order_by("next_at")
    for proof in working.filter(server_id=home.server_id()):
        _bury(proof)
    _close_left()
    now = clock.now()
    lost = Q(state=State.QUEUED) & claims.due(now - PAUSE, CLAIM + PAUSE)
    lost |= Q(state=State.WORKING) & claims.due(now, CLAIM)
    due = Proof.objects.filter(lost, ended_at=None).order_by("next_at")
    return each.apart(list(due.values_list("pk", flat=True)[:_AT_ONCE]), _send, "proof %s")


def _bury(proof: Proof) -> None:
    """Queue a proof again whose worker is dead, and close what it left open."""
    held = living.hold(proof.pk)
    if held is None:
        return
    try:
        _close(image_key(proof.pk, proof.tries))
        same = Proof.objects.filter(pk=proof.pk, state=State.WORKING, next_at=proof.next_at)
        if same.update(state=State.QUEUED, next_at=clock.now() - PAUSE):
            proof.state = State.QUEUED
            asking.note(proof, "Its worker died, so it begins again.")
    finally:
        living.let_go(proof.pk, held)


def image_key(proof_id: UUID, tries: int) -> str:
    """Return the key of the image of one try: what a dead worker left opening does not stand in the way of the next."""
    return str(uuid5(proof_id, str(tries)))


def _close(key: str) -> None:
    try:
        session.images().again(key).close()
    except BackupError:
        return  # it is closed, or not open yet: see `_close_left`


def _close_left() -> None:
    """Close the images of tries that are over: one that was still being opened when its worker died is open now."""
    since = clock.now() - _LATELY
    again = Proof.objects.filter(asked_at__gte=since, tries__gt=1)
    left = {
        image_key(proof.pk, number)
        for proof in again.only("pk", "tries")
        for number in range(1, proof.tries)
    }
    for key in left & set(session.images().keys()) if left else ():
        _close(key)


def _send(proof_id: UUID) -> bool:
    broker.send(broker.PROOF, proof_id)
    return True


def _claim(proof_id: UUID) -> Proof | None:
    now = clock.now()
    rows = Proof.objects.select_related(
        "run__account__owner", "run__owner", "policy__folder", "account__owner"
    )
    proof = rows.filter(claims.due(now, CLAIM), pk=proof_id, ended_at=None).first()
    if proof is None:
        return None
    try:
        with transaction.atomic():
            if not claims.take(
                proof,
                CLAIM,
                now,
                state=State.WORKING,
                started_at=now,
                tries=proof.tries + 1,
                server_id=home.server_id(),
            ):
                return None
            reason = f"proof {proof.pk} reads it"
            holds.take(
                proof.run.pk,
                HoldKind.PROOF,
                key=str(proof.pk),
                reason=reason,
                until=now + 2 * CLAIM,
                copies=_copies(proof),
            )
    except RefusedError as error:
        proof.refresh_from_db(fields=["next_at", "state", "tries"])
        _refuse(proof, str(error))
        return None
    except IntegrityError:
        return None  # another proof of this owner works; a tick sends the hint again
    asking.note(proof, f"Begun on {os.uname().nodename}.")
    return proof


def _copies(proof: Proof) -> list[UUID]:
    """Return the copies that it reads; none if it reads the snapshots themselves."""
    if not proof.place:
        return []
    rows = Copy.objects.filter(run=proof.run_id, snapshot_id__in=proof.snapshot_ids)
    found = list(rows.values_list("pk", flat=True))
    # Without any of them, a copy that nobody has: so that nobody takes the hold for one of the snapshots.
    return found or [proof.pk]


def _refuse(proof: Proof, why: str) -> None:
    """End a proof whose restore point goes, or is gone."""
    enter(proof, Outcome(State.NOT_POSSIBLE, why))


def _next_number(proof: Proof) -> int:
    """Return the number of the run's next result. A run has one unfinished proof at a time, so nobody else takes it."""
    last: int | None = Proof.objects.filter(run=proof.run_id).aggregate(last=Max("number"))["last"]
    return 1 + (last or 0)


@transaction.atomic
def enter(proof: Proof, found: Outcome) -> None:
    """Enter the result; whoever lost the claim enters nothing."""
    now = clock.now()
    changed = claims.kept(
        proof,
        state=found.state,
        reason=found.reason,
        reached=found.reached,
        ended_at=now,
        tag_due=True,
        number=_next_number(proof),
        **found.facts,
    )
    if not changed:
        return
    holds.drop(proof.run.pk, HoldKind.PROOF, key=str(proof.pk))
    known = {"last_proof": proof} | ({"proven_by": proof} if found.state == State.PASSED else {})
    Policy.objects.filter(pk=proof.policy_id or 0).update(**known)
    text = found.reason or f"Passed level {proof.level} ({Level(proof.level).word})."
    ProofEvent.objects.create(proof=proof, at=now, state=found.state, text=text)
    if found.state == State.FAILED and proof.policy is not None:
        tried = found.facts.get("snapshot_id", proof.snapshot_id)
        tried += f" ({sources.in_words(proof.place)})" if proof.place else ""
        raising.proof_failed(proof.policy, str(proof.pk), tried, found.reason, now)
