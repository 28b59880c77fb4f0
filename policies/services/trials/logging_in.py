"""A dry login to a policy's instances: whether this server gets in, and with which kind of key."""

from collections.abc import Sequence

from policies.domain.trials import Verdict
from policies.models import Account, Policy, PolicyTarget
from policies.services.entry import trying
from policies.services.trials.found import Found
from scripts_admin import permissions
from scripts_admin.domain.remote import By

_BY_SSM = "Its scripts get there by SSM, so nobody logs in: the page SSM of the account says whether its agent answers."
_NOT_ALLOWED = (
    "{} is not allowed to use the script folder {}: this server logs in to no instance for it."
)


def log_in(policy: Policy, account: Account, targets: Sequence[PolicyTarget]) -> list[Found]:
    """Try each instance in turn. Nothing runs there but an echo, and nobody is asked whose host key is not approved."""
    return [_one(policy, account, target) for target in targets]


def _one(policy: Policy, account: Account, target: PolicyTarget) -> Found:
    if target.remote.by != By.SSH:
        return Found(target, Verdict.NOT_POSSIBLE, _BY_SSM)
    if not permissions.may_run(policy.owner, policy.folder):
        return Found(target, Verdict.FAILED, _NOT_ALLOWED.format(policy.owner, policy.folder))
    tried = trying.log_in(policy.folder, account, target.remote, target.region, target.instance_id)
    verdict = Verdict.PASSED if tried.key else Verdict.FAILED
    return Found(target, verdict, tried.sentence, key=tried.key)
