"""A person's word that an application is thawed: audited, and it ends the repetitions of after."""

from django.db import transaction

from n2wbackup.lib import clock, home
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import Event, State
from policies.models import Policy, Run
from policies.services import runs
from scripts_admin.guard import spool


def confirm(policy: Policy, *, by: str) -> None:
    """Take the mark off the policy. RefusedError, and nothing changed, where nothing may be frozen."""
    thawing = Run.objects.filter(policy=policy, state=State.THAWING).first()
    if policy.may_be_frozen_since is None and thawing is None:
        message = f"{policy.owner}/{policy} is not marked as frozen; there is nothing to confirm."
        raise RefusedError(message)
    text = f"{by} confirmed that it is thawed"
    if thawing is not None:
        if not runs.apply(thawing, Event.CONFIRMED, text, thaw_next_at=None):
            message = f"Run {thawing.pk} moved on at this moment: look at it, and confirm again if need be."
            raise RefusedError(message)
        # With the leases goes the right to repeat after, for which the record stands.
        spool.settle(home.spool() / str(thawing.pk))
        return
    now = clock.now()
    marked = Policy.objects.filter(pk=policy.pk, may_be_frozen_since=policy.may_be_frozen_since)
    last = Run.objects.filter(policy=policy).order_by("-created_at").first()
    with transaction.atomic():
        if last is None:
            marked.update(may_be_frozen_since=None)
        elif marked.exists() and runs.unmark(last, f"{text}.", now):
            runs.record(last, text, at=now)
