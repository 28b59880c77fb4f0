"""The version of a policy: what is entered of it, as one word. Two people who save the same policy notice each other.

It is a digest of the content and no counter, so nobody who changes a policy (a page, the admin, `apply`, a rule)
has to remember to raise it. What runs write does not count.
"""

import hashlib
import json
from collections.abc import Iterable

from policies.domain.document import fields
from policies.domain.errors import RefusedError
from policies.models import Policy, PolicyTarget, Schedule
from policies.services.entry.policies import facts


class ChangedError(RefusedError):
    """Somebody else has changed the policy since the form was opened; nothing was saved."""


def of(policy: Policy) -> str:
    """Return the version of a stored policy."""
    return digest(policy, policy.targets.all(), policy.schedules.all())


def digest(policy: Policy, targets: Iterable[PolicyTarget], schedules: Iterable[Schedule]) -> str:
    """Return the version that the policy has with these targets and schedules, in whichever order."""
    content = {
        "owner": policy.owner_id,
        "name": policy.name,
        "account": policy.account_id,
        **{each.column: getattr(policy, each.column) for each in fields.POLICY},
        "targets": sorted(json.dumps(facts(target)) for target in targets),
        "schedules": sorted(each.name for each in schedules),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
