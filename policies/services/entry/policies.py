"""The saving rules of policies, for admin forms and for `apply`."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from n2wbackup.lib import clock
from policies.domain import identifiers
from policies.domain.document import fields
from policies.domain.errors import RefusedError
from policies.domain.retention.points import Fate
from policies.models import Account, Policy, PolicyTarget, Run, Schedule
from policies.services import protection
from policies.services.due import ticking
from policies.services.entry import audited, keeping
from policies.services.retention import removals
from scripts_admin import permissions
from scripts_admin.domain import names
from scripts_admin.domain.audit import Action
from scripts_admin.services import folders, hosts

LEFT_FOR_FIRING_SECONDS = 10
MAX_EXCLUDED_VOLUMES = 40  # AWS's limit for one CreateSnapshots call
MAX_SCHEDULES = 20
# The columns that people enter; only runs write the others.
COLUMNS = ("owner", "account", "name", *(field.column for field in fields.POLICY))


class TargetMistake(NamedTuple):
    """A mistake in one field of the target at this position of the list."""

    position: int
    field: str
    sentence: str


def check(policy: Policy, *, unread: Collection[str] = ()) -> None:
    """Raise ValidationError, by field, if the policy cannot be saved as it is.

    Rules that need a field of `unread` are skipped: it is not set, and its mistake is already reported.
    """
    unread = set(unread)
    before = Policy.objects.select_related("owner", "folder").filter(pk=policy.pk).first()
    wrong: dict[str, str] = {}
    if "name" not in unread:
        wrong |= _name(policy, before, unread)
    if "owner" not in unread:
        wrong |= _owner(policy, before, unread)
    wrong |= _numbers(policy, unread) | _choices(policy, unread)
    wrong |= keeping.wrong(policy, unread | wrong.keys())
    if wrong:
        raise ValidationError(wrong)


def check_targets(targets: Sequence[PolicyTarget]) -> list[TargetMistake]:
    """Return all mistakes in a policy's targets; AWS is not asked."""
    found: list[TargetMistake] = []
    first: dict[tuple[str, str], int] = {}
    for index, target in enumerate(targets):
        found += [TargetMistake(index, *wrong) for wrong in _target(target)]
        key = (target.region, str(target))
        if str(target) and key in first:
            field = "instance_id" if target.instance_id else "volume_id"
            sentence = (
                f"{target} in {target.region} appears twice in this policy: remove one of them."
            )
            found.append(TargetMistake(index, field, sentence))
        first.setdefault(key, index)
    return found


def save(policy: Policy, schedules: Collection[Schedule] | None = None) -> None:
    """Save the policy and compute its next due time again. On ValidationError nothing is saved.

    A new policy gets its owner's folder. With `schedules` None it keeps its schedules.
    """
    with transaction.atomic():
        new = not policy.pk
        before = audited.policy(policy.pk)
        if new:
            check(policy)
            policy.folder = folders.of(policy.owner)
            policy.save()
        else:
            lock(policy)
        # Due times become runs first; the check below then refuses to rename a policy with an unfinished run.
        with ticking.replanned([policy.pk]):
            check_schedules(policy, schedules or ())
            if not new:
                check(policy)
                old = Policy.objects.values_list("name", flat=True).get(pk=policy.pk)
                policy.save(update_fields=COLUMNS)
                hosts.rename_policy(policy.folder, old, policy.name)
            if schedules is not None:
                policy.schedules.set(schedules)
        audited.enter_policy(policy, before)


def switch(policy: Policy, *, on: bool) -> None:
    """Enable or disable the policy, and compute its next due time again. On ValidationError nothing is changed.

    The other columns of the row stay, even if the caller's copy differs.
    """
    with transaction.atomic():
        row = Policy.objects.select_for_update(of=("self",)).get(pk=policy.pk)
        row.enabled = on
        save(row)


def check_schedules(policy: Policy, schedules: Iterable[Schedule]) -> None:
    """Raise ValidationError if the policy cannot follow these schedules."""
    rows = list(schedules)
    strange = [each.name for each in rows if each.owner_id != policy.owner_id]
    if strange:
        sentence = (
            f"{policy.owner} has no schedule {strange[0]}: use a schedule of the policy's owner."
        )
        raise ValidationError({"schedules": sentence})
    if len(rows) > MAX_SCHEDULES:
        sentence = f"A policy can follow {MAX_SCHEDULES} schedules at most, and this one has {len(rows)}: remove some."
        raise ValidationError({"schedules": sentence})


def replace_targets(policy: Policy, targets: Sequence[PolicyTarget]) -> bool:
    """Make these the targets that people entered, in this order; False if nothing had to change.

    Targets that a rule enrolled stay with their rule, also those that the list lacks: a refresh may have enrolled
    them since the list was read. What the list says of them is taken over.
    ValidationError, and nothing changed, if one of them is wrong or there is none.
    """
    mistakes = check_targets(targets)
    if mistakes or not targets:
        raise ValidationError([m.sentence for m in mistakes] or [NO_TARGET])
    with transaction.atomic():
        lock(policy)
        present = list(policy.targets.order_by("pk"))
        enrolled = {_place(target): target for target in present if target.rule_id}
        before = audited.listed(present)  # now: what the list says changes these rows
        changed = _take_over(enrolled, targets)
        entered = [target for target in targets if _place(target) not in enrolled]
        if [facts(t) for t in present if not t.rule_id] == [facts(t) for t in entered]:
            if changed:
                audited.enter_targets(policy, before, present)
            return changed
        policy.targets.filter(rule=None).delete()
        PolicyTarget.objects.bulk_create(
            PolicyTarget(
                policy=policy,
                **{each.column: getattr(target, each.column) for each in fields.TARGET},
            )
            for target in entered
        )
        audited.enter_targets(policy, before, [*enrolled.values(), *entered])
        protection.renew([policy.pk])
    return True


def add_targets(policy: Policy, targets: Sequence[PolicyTarget]) -> int:
    """Add those that the policy does not have yet, after its present ones; return how many were added.

    ValidationError, and nothing changed, if one of them is wrong.
    """
    with transaction.atomic():
        lock(policy)
        present = list(policy.targets.order_by("pk"))
        had = {_place(target) for target in present}
        new = [target for target in targets if _place(target) not in had]
        if new:
            replace_targets(policy, [*present, *new])
    return len(new)


def _place(target: PolicyTarget) -> tuple[str, str]:
    return target.region, str(target)


def _take_over(
    enrolled: Mapping[tuple[str, str], PolicyTarget], targets: Iterable[PolicyTarget]
) -> bool:
    """Give enrolled targets what was entered for them; return whether that changed anything."""
    changed = False
    for target in targets:
        row = enrolled.get(_place(target))
        if row is not None and facts(row) != facts(target):
            for each in fields.TARGET:
                setattr(row, each.column, getattr(target, each.column))
            row.save(update_fields=[each.column for each in fields.TARGET])
            changed = True
    return changed


NO_TARGET = "A policy needs at least one instance or volume to back up: add a target."


def facts(target: PolicyTarget) -> tuple[object, ...]:
    """Return the values by which two targets are compared."""
    return tuple(
        sorted(held) if isinstance(held, list) else held
        for held in (getattr(target, each.column) for each in fields.TARGET)
    )


def delete(policy: Policy, fate: Fate = Fate.KEEP, *, by: str = "") -> None:
    """Delete the policy; its runs stay. While a run is unfinished: RefusedError, and the policy stays.

    `fate`: what becomes of its restore points, as the person `by` wants it.

    Due times until now are accounted for first, even if the policy then stays.
    """
    ticking.settle(policy.pk, clock.now())
    with transaction.atomic():
        lock(policy)
        reason = why_not_deleted(policy)
        if reason:
            raise RefusedError(reason)
        removals.leave(policy, fate, by)
        audited.enter(Action.DELETED, policy)
        Policy.objects.filter(pk=policy.pk).delete()


def why_not_deleted(policy: Policy) -> str:
    """Return the reason why the policy cannot be deleted, or ""."""
    return _while_running(policy, "deleted")


def lock(policy: Policy) -> None:
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
                f"The policy name {name!r} has a dot. A script's base name ends at its first dot, so the "
                "scripts could match another policy's: use '_' or '-' instead."
            )
        }
    if not names.is_policy_name(name):
        return {
            "name": (
                f"{name!r} is not a valid policy name: use letters without accents, digits, '_' and '-', "
                "at most 64 characters."
            )
        }
    if before is not None and before.name != name:
        reason = _while_running(before, "renamed")
        if reason:
            return {"name": reason}
    return {} if "owner" in unread else _taken(policy)


def _taken(policy: Policy) -> dict[str, str]:
    """Scripts are found by name in the owner's folder, so the name must be unique there and for the owner."""
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
            f"The policy {where} already exists, and its scripts would have the same names: choose "
            "another name."
        )
    }


def _owner(policy: Policy, before: Policy | None, unread: set[str]) -> dict[str, str]:
    owner = policy.owner
    if before is not None and before.owner_id != policy.owner_id:
        return {
            "owner": (
                f"The policy {before.owner}/{before.name} cannot change its owner, because its scripts are in "
                "that owner's folder: create a new one."
            )
        }
    # Disabling it stays possible.
    if before is not None and before.folder.is_root and not owner.is_superuser and policy.enabled:
        return {
            "owner": (
                f"{owner} is no longer a superuser, but this policy's scripts are in root's folder. Disable the "
                "policy and create a new one."
            )
        }
    if "account" in unread:
        return {}
    if policy.account.owner_id != policy.owner_id:
        return {
            "account": f"{owner} has no account {policy.account}: use an account of the policy's owner."
        }
    return _server_role(policy, before)


def _server_role(policy: Policy, before: Policy | None) -> dict[str, str]:
    """Disabling a policy that is no longer allowed to run stays possible."""
    is_new = before is None or before.account_id != policy.account_id
    if policy.account.auth != Account.Auth.INSTANCE or not (policy.enabled or is_new):
        return {}
    if permissions.may_use_server_role(policy.owner):
        return {}
    return {
        "account": (
            f"The account {policy.account} uses the server's own role, but {policy.owner} is not allowed to: "
            "use an account with access keys or a role, or ask a superuser for the permission."
        )
    }


def _numbers(policy: Policy, unread: set[str]) -> dict[str, str]:
    wrong = {}
    for column, (least, most) in fields.RANGES.items():
        value = getattr(policy, column)
        if column not in unread and not least <= value <= most:
            wrong[column] = f"This is {value} but must be from {least} to {most}: correct it."
    before, freeze = policy.before_timeout_seconds, policy.max_freeze_seconds
    both = {"before_timeout_seconds", "max_freeze_seconds"}
    # Reported at the timeout, and only if both numbers are valid by themselves.
    if not both & (unread | wrong.keys()) and before > freeze - LEFT_FOR_FIRING_SECONDS:
        wrong["before_timeout_seconds"] = (
            f"A before of {before} s leaves {max(freeze - before, 0)} s of max_freeze_seconds ({freeze}) for "
            f"the snapshots, but they need {LEFT_FOR_FIRING_SECONDS} s: shorten the timeout, or raise "
            "max_freeze_seconds."
        )
    return wrong


def _choices(policy: Policy, unread: set[str]) -> dict[str, str]:
    wrong = {}
    for column, choices in fields.CHOICES.items():
        value, allowed = getattr(policy, column), [choice for choice, _ in choices]
        if column not in unread and value not in allowed:
            wrong[column] = (
                f"This is {value!r} but must be one of {', '.join(allowed)}: correct it."
            )
    return wrong


def _target(target: PolicyTarget) -> Iterator[tuple[str, str]]:
    instance, volume = target.instance_id, target.volume_id
    if bool(instance) == bool(volume):
        yield (
            "instance_id",
            "A target is either an instance or a volume: name exactly one of the two.",
        )
    elif instance and not identifiers.is_instance_id(instance):
        yield "instance_id", f"{instance} is not an instance id: write i- and 8 or 17 hex digits."
    elif volume and not identifiers.is_volume_id(volume):
        yield "volume_id", f"{volume} is not a volume id: write vol- and 8 or 17 hex digits."
    if not identifiers.is_region(target.region):
        yield "region", f"{target.region!r} is not an AWS region: write one such as us-east-1."
    if volume and target.exclude_boot_volume:
        yield (
            "exclude_boot_volume",
            f"{volume} is a volume, so it has no boot volume to exclude: remove this.",
        )
    yield from _exclusions(target)
    remote = target.remote
    for key, sentence in remote.mistakes(str(target) or "The target", is_instance=bool(instance)):
        yield fields.REMOTE[key], sentence


def _exclusions(target: PolicyTarget) -> Iterator[tuple[str, str]]:
    field, excluded = "exclude_volume_ids", list(target.exclude_volume_ids)
    if target.volume_id and excluded:
        yield (
            field,
            f"{target.volume_id} is a volume, so it has no volumes to exclude: remove them.",
        )
    if len(excluded) > MAX_EXCLUDED_VOLUMES:
        sentence = (
            f"{len(excluded)} volumes are excluded, but AWS allows at most {MAX_EXCLUDED_VOLUMES}: name the "
            "volumes to back up as targets instead."
        )
        yield field, sentence
    for volume in sorted({v for v in excluded if not identifiers.is_volume_id(v)}):
        yield field, f"{volume} is not a volume id: write vol- and 8 or 17 hex digits."
    for volume in sorted({v for v in excluded if excluded.count(v) > 1}):
        yield field, f"{volume} is excluded twice: remove one of them."
