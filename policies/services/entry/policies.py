"""Policies as people enter them: the one place of their rules. Admin forms and `apply` both come here."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from n2wbackup.lib import clock
from policies.domain import identifiers
from policies.domain.document import fields
from policies.domain.errors import RefusedError
from policies.models import Account, Policy, PolicyTarget, Run, Schedule
from policies.services.due import ticking
from scripts_admin import permissions
from scripts_admin.domain import names
from scripts_admin.services import folders

LEFT_FOR_FIRING_SECONDS = 10
MAX_EXCLUDED_VOLUMES = 40  # AWS's own limit of one CreateSnapshots call
MAX_SCHEDULES = 20
# What people enter; the other columns are kept by the runs and are never written from a form.
COLUMNS = ("owner", "account", "name", *(field.column for field in fields.POLICY))


class TargetMistake(NamedTuple):
    """What is wrong with one field of the target at this place of the list."""

    position: int
    field: str
    sentence: str


def check(policy: Policy, *, unread: Collection[str] = ()) -> None:
    """Raise ValidationError, by field, where the policy cannot be saved as it is.

    Rules that ask a field of `unread` (it was told as wrong already, and is not set) are left out.
    """
    unread = set(unread)
    before = Policy.objects.select_related("owner", "folder").filter(pk=policy.pk).first()
    wrong: dict[str, str] = {}
    if "name" not in unread:
        wrong |= _name(policy, before, unread)
    if "owner" not in unread:
        wrong |= _owner(policy, before, unread)
    wrong |= _numbers(policy, unread)
    if wrong:
        raise ValidationError(wrong)


def check_targets(targets: Sequence[PolicyTarget]) -> list[TargetMistake]:
    """Return everything that is wrong with a policy's targets; AWS is not asked."""
    found: list[TargetMistake] = []
    first: dict[tuple[str, str], int] = {}
    for index, target in enumerate(targets):
        found += [TargetMistake(index, *wrong) for wrong in _target(target)]
        key = (target.region, str(target))
        if str(target) and key in first:
            field = "instance_id" if target.instance_id else "volume_id"
            sentence = (
                f"{target} in {target.region} is named twice in this policy: keep one of them."
            )
            found.append(TargetMistake(index, field, sentence))
        first.setdefault(key, index)
    return found


def save(policy: Policy, schedules: Collection[Schedule] | None = None) -> None:
    """Save the policy, a new one with its owner's folder, and plan it anew; ValidationError, and nothing saved.

    `schedules` None: it follows those that it followed.
    """
    with transaction.atomic():
        new = not policy.pk
        if new:
            check(policy)
            policy.folder = folders.of(policy.owner)
            policy.save()
        else:
            _lock(policy)
        # What is due becomes a run first: under that the policy is not renamed.
        with ticking.replanned([policy.pk]):
            check_schedules(policy, schedules or ())
            if not new:
                check(policy)
                policy.save(update_fields=COLUMNS)
            if schedules is not None:
                policy.schedules.set(schedules)


def switch(policy: Policy, *, on: bool) -> None:
    """Switch the policy on or off, and plan it anew; ValidationError, and nothing changed.

    What else stands in the row stays, whatever the caller's copy of it says.
    """
    with transaction.atomic():
        row = Policy.objects.select_for_update(of=("self",)).get(pk=policy.pk)
        row.enabled = on
        save(row)


def check_schedules(policy: Policy, schedules: Iterable[Schedule]) -> None:
    """Raise ValidationError where the policy cannot follow these schedules."""
    rows = list(schedules)
    strange = [each.name for each in rows if each.owner_id != policy.owner_id]
    if strange:
        sentence = f"{policy.owner} has no schedule {strange[0]}: use one of the owner's own."
        raise ValidationError({"schedules": sentence})
    if len(rows) > MAX_SCHEDULES:
        sentence = f"These are {len(rows)} schedules, and a policy follows {MAX_SCHEDULES} at most: take some out."
        raise ValidationError({"schedules": sentence})


def replace_targets(policy: Policy, targets: Sequence[PolicyTarget]) -> bool:
    """Make these the policy's targets, in this order; False where they were so already.

    ValidationError, and nothing changed, where one of them cannot be.
    """
    mistakes = check_targets(targets)
    if mistakes or not targets:
        raise ValidationError([m.sentence for m in mistakes] or [NO_TARGET])
    wanted = [facts(target) for target in targets]
    with transaction.atomic():
        _lock(policy)
        if [facts(target) for target in policy.targets.order_by("pk")] == wanted:
            return False
        policy.targets.all().delete()
        PolicyTarget.objects.bulk_create(
            PolicyTarget(
                policy=policy,
                **{each.column: getattr(target, each.column) for each in fields.TARGET},
            )
            for target in targets
        )
    return True


NO_TARGET = "A policy needs at least one instance or volume to back up: add a target."


def facts(target: PolicyTarget) -> tuple[object, ...]:
    """Return what makes two targets the same."""
    return tuple(
        sorted(held) if isinstance(held, list) else held
        for held in (getattr(target, each.column) for each in fields.TARGET)
    )


def delete(policy: Policy) -> None:
    """Delete the policy, its runs stay; RefusedError, and nothing changed, while one is unfinished.

    What was due until now is accounted for first, also where the policy then stays.
    """
    ticking.settle(policy.pk, clock.now())
    with transaction.atomic():
        _lock(policy)
        reason = why_not_deleted(policy)
        if reason:
            raise RefusedError(reason)
        Policy.objects.filter(pk=policy.pk).delete()


def why_not_deleted(policy: Policy) -> str:
    """Return a sentence where the policy cannot be deleted, or nothing."""
    return _while_running(policy, "deleted")


def _lock(policy: Policy) -> None:
    """Keep new runs of the policy out until the transaction ends: they refer to its row."""
    Policy.objects.select_for_update().only("pk").get(pk=policy.pk)


def _while_running(policy: Policy, verb: str) -> str:
    run = Run.objects.unfinished().filter(policy=policy).first()
    if run is None:
        return ""
    return (
        f"The policy {policy.name} cannot be {verb} while its run {run.pk} is {run.state}: "
        "wait until it ends, or cancel it."
    )


def _name(policy: Policy, before: Policy | None, unread: set[str]) -> dict[str, str]:
    name = policy.name
    if "." in name:
        return {
            "name": (
                f"The policy name {name!r} has a dot, where a script's base name ends, so its scripts "
                "could not be told from another policy's: use '_' or '-' instead."
            )
        }
    if not names.is_policy_name(name):
        return {
            "name": (
                f"{name!r} cannot be a policy's name: use letters without accents, digits, '_' and '-', "
                "64 characters at most."
            )
        }
    if before is not None and before.name != name:
        reason = _while_running(before, "renamed")
        if reason:
            return {"name": reason}
    return {} if "owner" in unread else _taken(policy)


def _taken(policy: Policy) -> dict[str, str]:
    """Files are found by name in the owner's folder, so the name is unique there and for the owner."""
    owner = policy.owner
    in_folder = Q(folder__owner=None) if owner.is_superuser else Q(folder__owner=owner)
    if policy.folder_id:
        in_folder = Q(folder=policy.folder_id)
    rows = Policy.objects.select_related("owner").filter(in_folder | Q(owner=owner))
    same = rows.filter(name__iexact=policy.name).exclude(pk=policy.pk).first()
    if same is None:
        return {}
    where = f"{same.owner}/{same.name}"
    return {
        "name": (
            f"There is a policy {where} already, whose scripts would have the same names: choose "
            "another name."
        )
    }


def _owner(policy: Policy, before: Policy | None, unread: set[str]) -> dict[str, str]:
    owner = policy.owner
    if before is not None and before.owner_id != policy.owner_id:
        return {
            "owner": (
                f"The policy {before.owner}/{before.name} cannot change its owner, as its scripts lie in "
                "that owner's folder: make another one."
            )
        }
    # Switching it off stays possible.
    if before is not None and before.folder.is_root and not owner.is_superuser and policy.enabled:
        return {
            "owner": (
                f"{owner} is no superuser any more, and the policy's scripts lie in root's folder: switch "
                "it off and make another one."
            )
        }
    if "account" in unread:
        return {}
    if policy.account.owner_id != policy.owner_id:
        return {"account": f"{owner} has no account {policy.account}: use one of the owner's own."}
    return _server_role(policy, before)


def _server_role(policy: Policy, before: Policy | None) -> dict[str, str]:
    """Switching off what may not run any more stays possible."""
    is_new = before is None or before.account_id != policy.account_id
    if policy.account.auth != Account.Auth.INSTANCE or not (policy.enabled or is_new):
        return {}
    if permissions.may_use_server_role(policy.owner):
        return {}
    return {
        "account": (
            f"The account {policy.account} uses the server's own role, which {policy.owner} may not: use "
            "one with access keys or a role, or let a superuser give them the permission."
        )
    }


def _numbers(policy: Policy, unread: set[str]) -> dict[str, str]:
    wrong = {}
    for column, (least, most) in fields.RANGES.items():
        value = getattr(policy, column)
        if column not in unread and not least <= value <= most:
            wrong[column] = f"This is {value} and has to be from {least} to {most}: correct it."
    before, freeze = policy.before_timeout_seconds, policy.max_freeze_seconds
    both = {"before_timeout_seconds", "max_freeze_seconds"}
    # Told at the timeout, and only where both numbers mean something by themselves.
    if not both & (unread | wrong.keys()) and before > freeze - LEFT_FOR_FIRING_SECONDS:
        wrong["before_timeout_seconds"] = (
            f"A before of {before} s leaves {max(freeze - before, 0)} s of max_freeze_seconds ({freeze}) to "
            f"make the snapshots, and {LEFT_FOR_FIRING_SECONDS} are needed: shorten the timeout, or "
            "raise max_freeze_seconds."
        )
    return wrong


def _target(target: PolicyTarget) -> Iterator[tuple[str, str]]:
    instance, volume = target.instance_id, target.volume_id
    if bool(instance) == bool(volume):
        yield "instance_id", "A target is either an instance or a volume: name one of the two."
    elif instance and not identifiers.is_instance_id(instance):
        yield "instance_id", f"{instance} is no instance id: write i- and 8 or 17 hex digits."
    elif volume and not identifiers.is_volume_id(volume):
        yield "volume_id", f"{volume} is no volume id: write vol- and 8 or 17 hex digits."
    if not identifiers.is_region(target.region):
        yield "region", f"{target.region!r} is no AWS region: write one such as us-east-1."
    if volume and target.exclude_boot_volume:
        yield "exclude_boot_volume", f"{volume} is a volume, so there is no boot volume to exclude."
    yield from _exclusions(target)


def _exclusions(target: PolicyTarget) -> Iterator[tuple[str, str]]:
    field, excluded = "exclude_volume_ids", list(target.exclude_volume_ids)
    if target.volume_id and excluded:
        yield field, f"{target.volume_id} is a volume, so no volumes of it can be excluded."
    if len(excluded) > MAX_EXCLUDED_VOLUMES:
        sentence = (
            f"{len(excluded)} volumes are excluded, and AWS takes {MAX_EXCLUDED_VOLUMES} at most: name "
            "the volumes that are wanted as targets instead."
        )
        yield field, sentence
    for volume in sorted({v for v in excluded if not identifiers.is_volume_id(v)}):
        yield field, f"{volume} is no volume id: write vol- and 8 or 17 hex digits."
    for volume in sorted({v for v in excluded if excluded.count(v) > 1}):
        yield field, f"{volume} is excluded twice: keep one of them."
