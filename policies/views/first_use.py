"""The way from an empty installation to the first backup, as steps. Each page on the way says which one is next.

Nothing is remembered: what is done is asked of the rows and of the folder, so people can leave and come back.
"""

from collections.abc import Sequence
from typing import NamedTuple

from django.urls import NoReverseMatch, reverse

from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Account, Policy, Run
from policies.selectors.protection import Counts
from policies.services.entry import linting
from scripts_admin import permissions
from scripts_admin.models import User

# The page where scripts are written, by its name in the addresses; the page of the test shows them, too.
SCRIPTS_PAGE = "script-folder"


class Step(NamedTuple):
    """`address`: where it is done, "" before its turn can come. `is_next`: the first that is not done."""

    title: str
    words: str
    address: str
    is_done: bool
    is_next: bool = False


def is_on(counts: Counts) -> bool:
    """Tell whether none of the policies that a person sees was ever backed up."""
    return counts.never + counts.paused == counts.total and not counts.failing


def of_policy(policy: Policy, person: User) -> Sequence[Step]:
    """Return the steps for a policy that waits for its first backup; none for any other, or if they may not act."""
    if policy.last_success_at is not None or not permissions.may_run(person, policy):
        return ()
    return _marked(_steps(policy, has_account=True))


def of_person(person: User, key: int | None) -> Sequence[Step]:
    """Return the steps for somebody without a backup; `key` is of the policy that comes first."""
    rows = Policy.objects.visible_to(person).select_related("owner", "folder")
    policy = rows.filter(pk=key).first() if key is not None else None
    if policy is not None:
        return of_policy(policy, person)
    return _marked(_steps(None, has_account=Account.objects.visible_to(person).exists()))


def _steps(policy: Policy | None, *, has_account: bool) -> list[Step]:
    tested = policy is not None and _is_tested(policy)
    written = tested or (policy is not None and _has_scripts(policy))
    where = {} if policy is None else _addresses(policy)
    return [
        Step(
            "Add an AWS account",
            "This server makes its snapshots there.",
            reverse("account-new"),
            has_account,
        ),
        Step(
            "Make a policy",
            "It says what is backed up together, and by its schedule, when.",
            reverse("policy-new") if has_account else "",
            policy is not None,
        ),
        Step(
            "Add its scripts",
            "before stops the application, after lets it go on. Without them a backup is like a disk after a power "
            "cut: if that is enough, go on with the first backup.",
            where.get("scripts", ""),
            written,
        ),
        Step(
            "Test the scripts",
            "They run as in a backup, and no snapshot is made.",
            where.get("test", ""),
            tested,
        ),
        Step(
            "Make the first backup",
            "Press Back up now on the page of the policy.",
            where.get("policy", ""),
            False,  # noqa: FBT003 - a field of a tuple
        ),
    ]


def _marked(steps: list[Step]) -> list[Step]:
    first = next(place for place, step in enumerate(steps) if not step.is_done)
    return [step._replace(is_next=place == first) for place, step in enumerate(steps)]


def _addresses(policy: Policy) -> dict[str, str]:
    label = [policy.owner.username, policy.name]
    test = reverse("policy-test", args=label)
    try:
        scripts = reverse(SCRIPTS_PAGE, args=[policy.folder.name])
    except NoReverseMatch:
        scripts = test
    return {"policy": reverse("policy", args=label), "test": test, "scripts": scripts}


def _has_scripts(policy: Policy) -> bool:
    return policy.scripts_enabled and linting.places(policy.folder, policy.name, None).has_files


def _is_tested(policy: Policy) -> bool:
    tests = Run.objects.filter(policy=policy, trigger=Trigger.TEST, state=State.SUCCEEDED)
    return tests.exists()
