"""Who may see, change, run and share what: decided here and nowhere else. Only this module uses guardian.

Superusers may do everything; inactive users may do nothing. For a folder, the permissions on that folder decide.
For every other row, its owner decides. A permission on all rows of a model opens pages of the admin, but never
shows a row by itself.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from django.contrib.auth.models import AbstractUser, Permission
from django.db.models import Model, Q, QuerySet
from guardian.shortcuts import assign_perm, get_objects_for_user

Rows = TypeVar("Rows", bound=QuerySet[Any])


class Deed(StrEnum):
    """What a user may do with a row."""

    SEE = "see"
    CHANGE = "change"
    RUN = "run"
    SHARE = "share"


_USE_FOLDER = "use_folder"
# The permission that must be granted on the row itself, by model; a deed without one is for the owner only.
_GRANTS: Mapping[str, Mapping[Deed, str]] = {
    "scripts_admin.folder": dict.fromkeys((Deed.SEE, Deed.CHANGE, Deed.RUN), _USE_FOLDER),
}
# The look-ups that lead from a row to its owners, by model; for every other model it is "owner".
_OWNERS: Mapping[str, tuple[str, ...]] = {
    "policies.alarmreceivers": ("user", "policy__owner"),
    "policies.alarmmute": ("policy__owner",),
    "policies.dailycount": ("policy__owner",),
    "policies.policytarget": ("policy__owner",),
    "policies.inventoryplace": ("account__owner",),
    "policies.inventoryitem": ("account__owner",),
    "policies.leftout": ("account__owner",),
    "policies.enrolrule": ("account__owner",),
    "policies.runtarget": ("run__owner",),
    "policies.phaseresult": ("run__owner",),
    "policies.runevent": ("run__owner",),
    "policies.outputchunk": ("result__run__owner",),
    "policies.runsnapshot": ("target__run__owner",),
}
_SERVER_ROLE_APP, _SERVER_ROLE = "policies", "use_server_role"


def visible(rows: Rows, person: AbstractUser) -> Rows:
    """Return the rows that the person may see."""
    if not person.is_active:
        return rows.none()
    grants = _GRANTS.get(rows.model._meta.label_lower)
    if grants is not None:
        seen = get_objects_for_user(person, grants[Deed.SEE], klass=rows, accept_global_perms=False)
        return rows.filter(pk__in=seen)
    if person.is_superuser:
        return rows
    own = Q(pk__in=())
    for path in _owners(rows.model._meta.label_lower):
        own |= Q(**{path: person})
    return rows.filter(own)


def sees_everything(person: AbstractUser) -> bool:
    """Tell whether `visible` leaves out no row that has an owner."""
    return person.is_active and person.is_superuser


def may_see(person: AbstractUser, row: Model) -> bool:
    return _may(Deed.SEE, person, row)


def may_change(person: AbstractUser, row: Model) -> bool:
    """Tell whether the person may change the row: the scripts of a folder, the course of a run."""
    return _may(Deed.CHANGE, person, row)


def may_run(person: AbstractUser, row: Model) -> bool:
    """Tell whether the person may run the row: a policy, or the scripts of a folder."""
    return _may(Deed.RUN, person, row)


def may_share(person: AbstractUser, row: Model) -> bool:
    """Tell whether the person may let others see, change or run the row."""
    return _may(Deed.SHARE, person, row)


def _may(deed: Deed, person: AbstractUser, row: Model) -> bool:
    if not person.is_active:
        return False
    if person.is_superuser:
        return True
    granted = _GRANTS.get(row._meta.label_lower, {}).get(deed)
    if granted is not None:
        return person.has_perm(f"{row._meta.app_label}.{granted}", row)
    paths = _owners(row._meta.label_lower)
    return any(_reached(row, path) == person.pk for path in paths)


def _owners(model: str) -> tuple[str, ...]:
    return _OWNERS.get(model, ("owner",))


def _reached(row: Model, path: str) -> object:
    """Return the key of the user at the end of the look-up; None if the way there ends before."""
    *steps, last = path.split("__")
    found: object = row
    for step in steps:
        found = getattr(found, step, None)
    return getattr(found, f"{last}_id", None)


def grant(person: AbstractUser, folder: Model) -> None:
    """Let the person see, run and change the scripts of the folder."""
    assign_perm(f"scripts_admin.{_USE_FOLDER}", person, folder)


def possible_owners(people: Rows, person: AbstractUser) -> Rows:
    """Return the people that the person may choose as owner of a new row."""
    active = people.filter(is_active=True)
    return active if person.is_superuser else active.filter(pk=person.pk)


def may_manage_people(person: object) -> bool:
    """Tell whether the person may see and change users and groups: anyone who edits them could act as any user."""
    return bool(getattr(person, "is_active", False) and getattr(person, "is_superuser", False))


def may_use_server_role(person: AbstractUser) -> bool:
    """Tell whether the person's accounts may use the server's own AWS role, which belongs to nobody.

    A superuser may, and so may everyone who got the permission from one; an inactive user may not. The database
    is asked each time, because the permission may be withdrawn.
    """
    fresh = type(person).objects.filter(pk=person.pk).first() or person
    return fresh.has_perm(f"{_SERVER_ROLE_APP}.{_SERVER_ROLE}")


def has_server_role(person: AbstractUser) -> bool:
    """Tell whether the user has the permission directly, not through a group or as a superuser."""
    return bool(person.pk) and person.user_permissions.filter(pk=_server_role().pk).exists()


def with_server_role() -> set[int]:
    """Return the keys of all users who have the permission as `has_server_role` says."""
    return set(_server_role().user_set.values_list("pk", flat=True))


def set_server_role(person: AbstractUser, *, given: bool) -> None:
    """Give the user the permission directly, or remove it; permissions through groups stay."""
    if given:
        person.user_permissions.add(_server_role())
    else:
        person.user_permissions.remove(_server_role())


def _server_role() -> Permission:
    rows = Permission.objects.filter(content_type__app_label=_SERVER_ROLE_APP)
    return rows.get(codename=_SERVER_ROLE)
