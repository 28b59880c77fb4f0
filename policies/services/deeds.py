"""What the audit is told of runs: that a person wanted one. Due times and retries are nobody's deed."""

from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.services import audit

_DEEDS = {Trigger.MANUAL: Action.BACKED_UP, Trigger.TEST: Action.TESTED}


def wanted(run: Run, policy: Policy) -> None:
    """Enter the new run if a person wanted it."""
    action = _DEEDS.get(Trigger(run.trigger))
    if action is not None:
        of = audit.subject(Kind.POLICY, policy, run.label)
        audit.record(action, of, [Change("run", "", str(run.pk))])
