"""The proofs that nobody asks for: of each policy that wants them, one restore point at random in every period."""

import random
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, Max, OuterRef

from n2wbackup.lib import clock
from policies.domain import proofs
from policies.domain.errors import RefusedError
from policies.domain.proofs import State
from policies.models import Policy, Proof, Run
from policies.selectors import copies, sources
from policies.services.alarms import raising
from policies.services.proof import asking
from policies.services.proof.asking import Wish
from policies.services.servers import turns

EVERY_SECONDS = 60
_MOST = 1_000  # restore points among which one is picked


def tick() -> int:
    """Queue the proofs that are due, and report the policies that have gone without; return how many were queued."""
    if not turns.take("proofs", EVERY_SECONDS - 1):
        return 0
    now, queued = clock.now(), 0
    going = Proof.objects.filter(policy=OuterRef("pk"), ended_at=None)
    wanting = Policy.objects.filter(proof_days__gt=0, enabled=True).exclude(Exists(going))
    for policy in wanting.select_related("owner").order_by("pk"):
        queued += _is_due(policy, now) and _queue(policy, now)
        _report(policy, now)
    return queued


def _is_due(policy: Policy, now: datetime) -> bool:
    # One of the future was asked for before the clock was put back.
    asked = Proof.objects.filter(policy=policy, asked_at__lte=now + clock.SKEW)
    last = asked.aggregate(at=Max("asked_at"))["at"]
    return last is None or last < proofs.slot(policy.pk, policy.proof_days, now)


def _queue(policy: Policy, now: datetime) -> bool:
    run = _picked(policy, now)
    if run is None:
        return False
    try:
        asking.ask(run, Wish(source=_source(policy, run)), by="")
    except RefusedError:
        return False  # somebody was faster, or nothing in it is completed yet
    return True


def _source(policy: Policy, run: Run) -> str:
    """Return what is tried: where the policy says so, the snapshots or one of the places with copies, at random.

    Without a word of the policy, copies are tried where nothing else is left.
    """
    if not policy.proof_copies:
        return sources.ITSELF
    pieces = sources.of_run(run)
    own = [sources.ITSELF] if any(not piece.copy for piece in pieces) else []
    return random.choice([*own, *sources.places(pieces)] or [sources.ITSELF])  # noqa: S311 - no secret


def _picked(policy: Policy, now: datetime) -> Run | None:
    """Return one at random of the last days; the newest one if there is none; one with only copies if that is all."""
    points = Run.objects.filter(policy=policy, restore_point=True, ended_at__isnull=False)
    points = points.order_by("-created_at")
    since = now - timedelta(days=policy.proof_days)
    keys = list(points.filter(created_at__gte=since).values_list("pk", flat=True)[:_MOST])
    keys = keys or list(points.values_list("pk", flat=True)[:1])
    keys = keys or _copied(policy)
    if not keys:
        return None
    chosen = random.choice(keys)  # noqa: S311 - no secret
    return Run.objects.select_related("policy", "owner", "account").get(pk=chosen)


def _copied(policy: Policy) -> list[UUID]:
    """Return the newest run of the policy that has a completed copy."""
    ended = Run.objects.filter(policy=policy, ended_at__isnull=False)
    rows = copies.with_copies(ended)
    return list(rows.order_by("-created_at").values_list("pk", flat=True)[:1])


def _report(policy: Policy, now: datetime) -> None:
    passed = Proof.objects.filter(policy=policy, state=State.PASSED, ended_at__lte=now + clock.SKEW)
    last = passed.aggregate(at=Max("ended_at"))["at"]
    first = Run.objects.filter(policy=policy, restore_point=True).order_by("created_at").first()
    if first is None or not proofs.is_overdue(last, first.created_at, policy.proof_days, now):
        return
    newest = (
        Proof.objects.filter(policy=policy).exclude(ended_at=None).order_by("-asked_at").first()
    )
    why = f"The newest ended {newest.get_state_display()}: {newest.reason}" if newest else ""
    raising.proof_overdue(policy, last, why if newest and newest.state != State.PASSED else "", now)
