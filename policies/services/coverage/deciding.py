"""What people decide about instances and volumes in no policy: add them to one, or leave them out on purpose."""

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction

from n2wbackup.lib import clock
from policies.domain.errors import RefusedError
from policies.models import Account, InventoryItem, InventoryPlace, LeftOut, Policy, PolicyTarget
from policies.services.entry import policies, trail
from scripts_admin import permissions
from scripts_admin.domain.audit import Action, Kind
from scripts_admin.models import User
from scripts_admin.services import audit

REASON_CHARACTERS = 500


def add(items: Sequence[InventoryItem], policy: Policy, *, by: User) -> str:
    """Make them targets of the policy, by its saving rules; return what was done, as a sentence.

    A volume whose instance is among them comes with it. RefusedError, and nothing changed, if one cannot be added.
    """
    if not permissions.may_change(by, policy):
        raise RefusedError(
            f"{by} is not allowed to change {policy.label}: ask its owner or a superuser."
        )
    strange = [each for each in items if not _reaches(policy.account, each.account)]
    if strange:
        raise RefusedError(
            f"{strange[0]} was not added: {policy.label} uses the account {policy.account.name}, which does not "
            "look at it. Choose a policy of the same account. Nothing was changed."
        )
    instances = {each.resource_id for each in items if each.kind == InventoryItem.Kind.INSTANCE}
    chosen = [each for each in items if each.instance_id not in instances]
    try:
        with audit.done_by(by):
            added = policies.add_targets(policy, [_target(each) for each in chosen])
    except ValidationError as error:
        raise RefusedError(f"{policy.label}: {' '.join(error.messages)}") from None
    sentence = f"{_many(added)} added to {policy.label}."
    if not policy.enabled:
        sentence += " The policy is disabled, so nothing backs this up until you enable it."
    return sentence


def _reaches(own: Account, other: Account) -> bool:
    """Tell whether both lead into the same AWS account."""
    number = own.aws_account_id
    return own.pk == other.pk or bool(number and number == other.aws_account_id)


def _target(found: InventoryItem) -> PolicyTarget:
    if found.kind == InventoryItem.Kind.INSTANCE:
        return PolicyTarget(instance_id=found.resource_id, region=found.region)
    return PolicyTarget(volume_id=found.resource_id, region=found.region)


def leave_out(items: Sequence[InventoryItem], reason: str, *, by: User) -> str:
    """Leave them out on purpose, an instance with its volumes; return what was done, as a sentence.

    RefusedError, and nothing changed, without a reason. A second decision about the same thing replaces the first.
    """
    reason = reason.strip()
    if not reason:
        raise RefusedError("Nothing was left out: write the reason, so that others know it later.")
    if len(reason) > REASON_CHARACTERS:
        raise RefusedError(
            f"Nothing was left out: shorten the reason to {REASON_CHARACTERS} characters."
        )
    for each in items:
        if not permissions.may_change(by, each):
            raise RefusedError(f"{by} is not allowed to leave out {each}: ask the account's owner.")
    with transaction.atomic():
        for each in items:
            LeftOut.objects.update_or_create(
                account_id=each.account_id,
                region=each.region,
                resource_id=each.resource_id,
                defaults={"reason": reason, "by": by.username, "at": clock.now()},
            )
            _tell(Action.LEFT_OUT, each, by, reason=reason)
    return f"{_many(len(items))} left out on purpose."


def take_back(decision: LeftOut, *, by: User) -> str:
    """Take the decision back; return what was done, as a sentence."""
    with transaction.atomic():
        LeftOut.objects.filter(pk=decision.pk).delete()
        _tell(Action.CHANGED, decision, by, ("left out", decision.reason, ""))
    return f"{decision} is no longer left out: it is listed again unless a policy backs it up."


def look_again(person: User) -> str:
    """Have everything that the person sees refreshed soon; return that as a sentence."""
    count = InventoryPlace.objects.visible_to(person).update(next_at=clock.now())
    if not count:
        return (
            "There is no account whose instances and volumes could be looked at: create one first."
        )
    return f"AWS is asked again, one account and region after the other ({count} in total)."


def _tell(
    action: Action,
    row: InventoryItem | LeftOut,
    by: User,
    *changes: tuple[str, str, str],
    reason: str = "",
) -> None:
    trail.enter(
        action,
        Kind.RESOURCE,
        str(row),
        key=str(row.pk),
        owner_id=row.account.owner_id,
        person=by,
        changes=changes,
        reason=reason,
    )


def _many(count: int) -> str:
    return "1 was" if count == 1 else f"{count} were"
