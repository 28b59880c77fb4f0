"""What a person can do with a policy now: the context of templates/policies/policy/actions.html."""

from datetime import datetime
from typing import NamedTuple

from n2wbackup.lib import clock
from policies.models import Policy
from scripts_admin import permissions
from scripts_admin.models import User


class Actions(NamedTuple):
    """The buttons of a policy's page; `paused_until` is None unless the policy is paused now."""

    owner: str
    name: str
    enabled: bool
    paused_until: datetime | None
    paused_reason: str
    paused_by: str
    may_change: bool
    may_run: bool
    is_own: bool  # it may be deleted, copied and shared
    rights: tuple[str, ...]  # what the owner lets the person do, who has it from nowhere else


def of(policy: Policy, person: User) -> Actions:
    """Return what the person can do with the policy."""
    until = policy.paused_until
    is_own = permissions.may_share(person, policy)
    is_paused = until is not None and until > clock.now()
    return Actions(
        owner=policy.owner.username,
        name=policy.name,
        enabled=policy.enabled,
        paused_until=until if is_paused else None,
        paused_reason=policy.paused_reason,
        paused_by=policy.paused_by,
        may_change=permissions.may_change(person, policy),
        may_run=permissions.may_run(person, policy),
        is_own=is_own,
        rights=() if is_own else permissions.rights(person, policy),
    )
