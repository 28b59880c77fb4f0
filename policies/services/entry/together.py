"""A policy, its targets and its schedules, saved as one: all of it or nothing."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from policies.models import Policy, PolicyTarget, Schedule
from policies.services.entry import policies, schedules, versions
from policies.services.entry.versions import ChangedError
from scripts_admin.folders.looking import FileError
from scripts_admin.models import User
from scripts_admin.services import audit, scripts


@dataclass(slots=True)
class Entered:
    """What somebody entered; `made` is a schedule that is made in place.

    `takes_scripts` is who renames the scripts of the policy with it, None: they keep their names.
    """

    policy: Policy
    targets: list[PolicyTarget]
    schedules: list[Schedule] = field(default_factory=list)
    made: Schedule | None = None
    takes_scripts: User | None = None

    @property
    def followed(self) -> list[Schedule]:
        return [*self.schedules, self.made] if self.made else self.schedules


def save(entered: Entered, *, opened: str) -> Policy:
    """Save what was entered; `opened` is the version that the form began with, empty for a new policy.

    ChangedError if the stored policy has another version by now, ValidationError if a rule refuses; nothing is saved
    then. A new policy that exists already with exactly this content was sent twice: it is returned, and made once.
    """
    try:
        with _scripts_along(entered), transaction.atomic(), audit.together():
            return _save(entered, opened)
    except FileError as error:
        raise ValidationError(f"The policy was not renamed. {error}") from None
    except (ValidationError, IntegrityError) as error:
        entered.policy.pk = entered.policy.pk if opened else None
        same = None if opened else twin(entered)
        if same is not None:
            return same
        if isinstance(error, IntegrityError):
            sentence = "Somebody saved the same at the same moment. Nothing was saved: try again."
            raise ValidationError(sentence) from None
        raise


def _scripts_along(entered: Entered) -> AbstractContextManager[object]:
    """Rename the scripts around what is done within, if the policy gets another name and somebody wants that."""
    policy, person = entered.policy, entered.takes_scripts
    if person is None or not policy.pk:
        return nullcontext()
    before = Policy.objects.get(pk=policy.pk).name
    if before == policy.name:
        return nullcontext()
    return scripts.renamed_with_policy(policy.folder, before, policy.name, actor=person)


def _save(entered: Entered, opened: str) -> Policy:
    policy = entered.policy
    if opened:
        stored = Policy.objects.select_for_update(of=("self",)).get(pk=policy.pk)
        if versions.of(stored) != opened:
            message = (
                f"Somebody else has changed {stored.label} since you opened it. Nothing was saved."
            )
            raise ChangedError(message)
    if entered.made:
        schedules.save(entered.made)
    policies.save(policy, entered.followed)
    policies.replace_targets(policy, entered.targets)
    return policy


def twin(entered: Entered) -> Policy | None:
    """Return the policy that exists already with exactly this content, or None."""
    wanted = versions.digest(entered.policy, entered.targets, entered.followed)
    rows = Policy.objects.filter(owner=entered.policy.owner_id, name=entered.policy.name)
    return next((row for row in rows if versions.of(row) == wanted), None)
