"""A dry login to a policy's instances: whether this server gets in, and with which kind of key."""

from collections.abc import Sequence

from policies.domain.trials import Verdict
from policies.models import Account, Policy, PolicyTarget
from policies.services.entry import trying
from policies.services.trials.found import Found
from scripts_admin import permissions
from scripts_admin.domain.remote import By
from scripts_admin.guard import linux

_BY_SSM = "Its scripts get there by SSM, so nobody logs in: the page SSM of the account says whether its agent answers."
_NOT_ALLOWED = (
    "{} is not allowed to use the script folder {}: this server logs in to no instance for it."
)


# Of a trial; one login takes up to a minute, and whoever has claimed the trial has ten.
MOST_SECONDS = 480.0
_NO_TIME = (
    "Nobody tried to log in, because the instances before it took too long: find out why they do not answer, and try "
    "again."
)


def log_in(policy: Policy, account: Account, targets: Sequence[PolicyTarget]) -> list[Found]:
    """Try each instance in turn, while there is time.

    Nothing runs there but an echo, and nobody is asked whose host key is not approved.
    """
    until = linux.boottime() + MOST_SECONDS
    return [
        _one(policy, account, target)
        if linux.boottime() < until
        else Found(target, Verdict.NOT_POSSIBLE, _NO_TIME)
        for target in targets
    ]


def _one(policy: Policy, account: Account, target: PolicyTarget) -> Found:
    if target.remote.by != By.SSH:
        return Found(target, Verdict.NOT_POSSIBLE, _BY_SSM)
    if not permissions.may_run(policy.owner, policy.folder):
        return Found(target, Verdict.FAILED, _NOT_ALLOWED.format(policy.owner, policy.folder))
    tried = trying.log_in(policy.folder, account, target.remote, target.region, target.instance_id)
    verdict = Verdict.PASSED if tried.key else Verdict.FAILED
    return Found(target, verdict, tried.sentence, key=tried.key)
