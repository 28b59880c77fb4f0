"""A person's confirmation that an application is thawed: it is audited, and it ends the retries of after."""

from django.db import transaction
from django.db.models import Q

from n2wbackup.lib import clock, home
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import Event, State
from policies.models import Policy, Run
from policies.services import runs
from policies.services.window import entering
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.guard import spool
from scripts_admin.services import audit

_CHANGED = "{} changed at the same moment: look at it, and confirm again if necessary."


def confirm(policy: Policy, *, by: str) -> None:
    """Remove the mark from the policy. RefusedError, and nothing changed, if nothing may be frozen."""
    mine = Run.objects.unfinished().filter(policy=policy)
    left = Q(state=State.FROZEN, server_gone_at__isnull=False)  # its server cannot thaw it
    thawing = mine.filter(Q(state=State.THAWING) | left).first()
    if policy.may_be_frozen_since is None and thawing is None:
        message = f"{policy.owner}/{policy} is not marked as frozen; there is nothing to confirm."
        raise RefusedError(message)
    text = f"{by} confirmed that it is thawed"
    if thawing is not None:
        _confirm_run(policy, thawing, text)
        # Once the leases are released, after must not run again, so the record must no longer be open. If another
        # server has it, that one settles it as soon as it sees the row.
        if runs.is_here(thawing):
            spool.confirm(home.spool() / str(thawing.pk))
        return
    now = clock.now()
    marked = Policy.objects.filter(pk=policy.pk, may_be_frozen_since=policy.may_be_frozen_since)
    last = Run.objects.filter(policy=policy).order_by("-created_at").first()
    with transaction.atomic():
        if last is None:
            done = bool(marked.update(may_be_frozen_since=None))
        else:
            done = marked.exists() and runs.unmark(last, f"{text}.", now)
            if done:
                runs.record(last, text, at=now)
        if done:
            _enter(policy)
    if not done:
        raise RefusedError(_CHANGED.format(f"{policy.owner}/{policy}"))


@transaction.atomic
def _confirm_run(policy: Policy, run: Run, text: str) -> None:
    was_frozen = run.state == State.FROZEN
    if not runs.apply(run, Event.CONFIRMED, text, thaw_next_at=None, server_gone_at=None):
        raise RefusedError(_CHANGED.format(f"Run {run.pk}"))
    if was_frozen:
        entering.lost_shots(run)
    _enter(policy)


def _enter(policy: Policy) -> None:
    since = policy.may_be_frozen_since
    changes = [Change("may be frozen since", since.isoformat(), "")] if since else []
    of = audit.subject(Kind.POLICY, policy, policy.label)
    audit.record(Action.CONFIRMED_THAW, of, changes)
