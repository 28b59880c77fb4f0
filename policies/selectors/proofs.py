"""Proofs as typed rows: for lists, their pages, runs, policies and the dashboard."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from policies.domain import proofs
from policies.domain.proofs import State
from policies.models import Policy, Proof
from policies.selectors import sources
from scripts_admin.models import User

NEWEST: Sequence[str] = ("-asked_at", "-pk")  # as keyset takes it
SHOWN = 8


class ProofRow(NamedTuple):
    """A proof as lists show it. `worth`: "level 3, 2.0 s, $0.0003"."""

    id: UUID
    run_id: UUID
    snapshot_id: str
    source: str  # "copy in eu-west-1"; "" for the snapshot itself
    level: int
    reached: int
    state: str
    words: str  # the state in words
    recipe: str
    reason: str
    worth: str
    asked_at: datetime
    ended_at: datetime | None

    @property
    def goes_on(self) -> bool:
        return self.state not in proofs.ENDS


class PolicyProofs(NamedTuple):
    """A policy with its newest proof that has ended, and the newest one that passed."""

    owner: str
    name: str
    last: ProofRow
    proven: ProofRow | None


def whole() -> QuerySet[Proof]:
    """Return the proofs with everything that pages show."""
    return Proof.objects.select_related("run__policy", "policy__owner").prefetch_related("events")


def listed(user: User) -> QuerySet[Proof]:
    """Return the proofs that the user may see, in no order."""
    return Proof.objects.visible_to(user).select_related("run").order_by()


def row(found: Proof) -> ProofRow:
    """Return the proof as lists show it; makes no query."""
    return ProofRow(
        id=found.pk,
        run_id=found.run_id,
        snapshot_id=found.snapshot_id,
        source=sources.in_words(found.place),
        level=found.level,
        reached=found.reached,
        state=found.state,
        words=found.get_state_display(),
        recipe=proofs.WORDS.get(found.recipe, found.recipe),
        reason=found.reason,
        worth=proofs.in_words(found.level, found.seconds, found.cost_usd),
        asked_at=found.asked_at,
        ended_at=found.ended_at,
    )


def share(found: Proof) -> str:
    """Return how much of the snapshot was read, in words; "" if nobody knows."""
    if not found.blocks_of_snapshot or found.blocks_read is None:
        return ""
    percent = 100 * found.blocks_read / found.blocks_of_snapshot
    return f"{found.blocks_read} of {found.blocks_of_snapshot} ({percent:.1f} %)"


def of_policy(policy: Policy) -> tuple[ProofRow | None, ProofRow | None]:
    """Return the policy's newest proof that has ended, and the newest one that passed."""
    keys = [key for key in (policy.last_proof_id, policy.proven_by_id) if key]
    rows = {each.pk: row(each) for each in Proof.objects.filter(pk__in=keys)} if keys else {}
    last, proven = policy.last_proof_id, policy.proven_by_id
    return rows.get(last) if last else None, rows.get(proven) if proven else None


def of_policies(user: User, limit: int = SHOWN) -> Sequence[PolicyProofs]:
    """Return the policies that have been tried, those first whose newest proof did not pass."""
    tried = Policy.objects.visible_to(user).filter(last_proof__isnull=False)
    tried = tried.select_related("owner", "last_proof", "proven_by")
    bad = list(tried.exclude(last_proof__state=State.PASSED).order_by("pk")[:limit])
    good = tried.filter(last_proof__state=State.PASSED).order_by("-last_proof__ended_at")
    return [
        PolicyProofs(
            policy.owner.username,
            policy.name,
            row(policy.last_proof),
            row(policy.proven_by) if policy.proven_by else None,
        )
        for policy in [*bad, *good[: limit - len(bad)]]
        if policy.last_proof
    ]
