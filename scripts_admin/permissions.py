"""Who may see, change, run and share what: decided here and nowhere else. Only this module uses guardian.

Superusers may do everything; inactive users may do nothing. A row's owner may do everything with it. Folders and
policies can be shared: a right that was granted on one of them, to a person or to a group, lets others do a part
of it. What belongs to a policy (its runs, snapshots, outputs, alarms) goes by the rights on the policy.
A permission on all rows of a model opens pages of the admin, but never shows a row by itself.
"""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, TypeVar

from django.apps import apps
from django.contrib.auth.models import AbstractUser, Group, Permission
from django.db.models import Model, Q, QuerySet
from guardian.shortcuts import assign_perm, get_perms, remove_perm
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model

from scripts_admin.domain.rights import (
    ALLOWING,
    CODENAMES,
    FOLDER,
    GRANTED_ON,
    OWNERS,
    POLICY,
    SHARED,
    Deed,
    Right,
)

Rows = TypeVar("Rows", bound=QuerySet[Any])
Whom = AbstractUser | Group


class Share(NamedTuple):
    """A person or a group with all rights on one row, in the order of `Right`."""

    whom: Whom
    rights: tuple[Right, ...]


# So many keys are handed to the database one by one: it then knows how few rows they mean, and searches an index.
# More of them are a part of everything that a reading in the usual order soon meets.
_FEW = 1000
_MOST_PARTS = 30  # a query for each
_KEPT = "_keys_of_what_is_shared"
_SERVER_ROLE_APP, _SERVER_ROLE = "policies", "use_server_role"
_OPENING = "open_snapshots"


def visible(rows: Rows, person: AbstractUser) -> Rows:
    """Return the rows that the person may see."""
    if not person.is_active:
        return rows.none()
    if person.is_superuser:
        return rows
    model = rows.model._meta.label_lower
    return rows.filter(_owned(model, person) | _shared(model, person))


def parts(model: type[Model], person: AbstractUser) -> list[Q]:
    """Return conditions that together have what `visible` has, each of which an index finds in the order of lists.

    One, or none, where nothing is shared with the person.
    """
    label = model._meta.label_lower
    if not person.is_active or person.is_superuser or label not in SHARED:
        return []
    _, path = SHARED[label]
    found = [_owned(label, person)]
    for some in _kept_keys(label, person):
        one_by_one = isinstance(some, list) and len(some) <= _MOST_PARTS
        found += (
            [Q(**{path or "pk": key}) for key in some] if one_by_one else [_among([some], path)]
        )
    return found


def owned(rows: Rows, person: AbstractUser) -> Rows:
    """Return the rows with which the person may do everything."""
    if not person.is_active:
        return rows.none()
    return (
        rows if person.is_superuser else rows.filter(_owned(rows.model._meta.label_lower, person))
    )


def changeable(rows: Rows, person: AbstractUser) -> Rows:
    """Return the policies or folders that the person may change."""
    if not person.is_active or person.is_superuser:
        return owned(rows, person)
    model = rows.model._meta.label_lower
    shared = _granted(model, person, ALLOWING[Deed.CHANGE])
    return rows.filter(_owned(model, person) | shared)


def only_shared(rows: Rows, person: AbstractUser) -> Rows:
    """Return the rows that the person may see only because somebody shares them; none for a superuser."""
    if not person.is_active or person.is_superuser:
        return rows.none()
    model = rows.model._meta.label_lower
    return rows.filter(_shared(model, person)).exclude(_owned(model, person))


def sees_everything(person: AbstractUser) -> bool:
    """Tell whether `visible` leaves out no row that has an owner."""
    return person.is_active and person.is_superuser


def may_see(person: AbstractUser, row: Model) -> bool:
    return _may(Deed.SEE, person, row)


def may_change(person: AbstractUser, row: Model) -> bool:
    """Tell whether the person may change the row: the settings of a policy, the scripts of a folder."""
    return _may(Deed.CHANGE, person, row)


def may_run(person: AbstractUser, row: Model) -> bool:
    """Tell whether the person may run the row: a policy, or the scripts of a folder. For a run: its policy."""
    return _may(Deed.RUN, person, row)


def may_approve_hosts(person: AbstractUser, row: Model) -> bool:
    """Tell whether the person may say which hosts the scripts of the folder, or of the policy, may speak to.

    A host is approved for the whole folder. So a right on one of its policies counts for the folder, too, if it came
    from somebody who may share the folder: the owner of a policy may have lost that.
    """
    if _may(Deed.APPROVE_HOSTS, person, row):
        return True
    if row._meta.label_lower != FOLDER or not person.is_active:
        return False
    model: Any = apps.get_model(POLICY)
    granted = _granted(POLICY, person, ALLOWING[Deed.APPROVE_HOSTS])
    shared = model.objects.filter(granted, folder=row).select_related("owner")
    return any(may_share(policy.owner, row) for policy in shared)


def may_restore(person: AbstractUser, row: Model) -> bool:
    """Tell whether the person may restore from the row, read its files, or prove it: a policy, a run, a snapshot.

    What is in a backup is everything that the application knows. So no other right brings this one.
    """
    return _may(Deed.RESTORE, person, row)


def may_share(person: AbstractUser, row: Model) -> bool:
    """Tell whether the person may let others see, change or run the row: only the owner may."""
    return _may(Deed.SHARE, person, row)


def may_delete(person: AbstractUser, row: Model) -> bool:
    """Tell whether the person may delete the row, or do with it what else only the owner may."""
    return _may(Deed.DELETE, person, row)


def _may(deed: Deed, person: AbstractUser, row: Model) -> bool:
    if not person.is_active:
        return False
    if person.is_superuser:
        return True
    model = row._meta.label_lower
    if person.pk and any(_reached(row, path) == person.pk for path in _owners(model)):
        return True
    rights = ALLOWING.get(deed, frozenset())
    return bool(rights and rights & _held(person, row))


def _held(person: AbstractUser, row: Model) -> frozenset[Right]:
    """Return the rights that the person was granted, directly or by a group, on what the row belongs to."""
    _, path = SHARED.get(row._meta.label_lower, (None, None))
    if path is None:
        return frozenset()
    found: Any = row
    for step in path.split("__") if path else ():
        found = getattr(found, step, None)
    return _named(get_perms(person, found), found) if found is not None else frozenset()


def _named(codenames: Iterable[str], row: Model | type[Model]) -> frozenset[Right]:
    known = {_codename(right, row._meta.model_name): right for right in Right}
    return frozenset(known[name] for name in codenames if name in known)


def _codename(right: Right, model: str | None) -> str:
    return f"{CODENAMES[right]}_{model}"


def _owners(model: str) -> tuple[str, ...]:
    return OWNERS.get(model, ("owner",))


def _owned(model: str, person: AbstractUser) -> Q:
    own = Q(pk__in=())
    for path in _owners(model):
        own |= Q(**{path: person})
    return own


def _shared(model: str, person: AbstractUser) -> Q:
    """Return the condition that the row belongs to what is shared with the person.

    A page asks for many kinds of rows. So the keys are read once and kept with the person, as Django keeps a user's
    permissions: for as long as this object lives, which is a request.
    """
    if model not in SHARED:
        return Q(pk__in=())
    return _among(_kept_keys(model, person), SHARED[model][1])


def _kept_keys(model: str, person: AbstractUser) -> list[Any]:
    thing, _ = SHARED[model]
    kept: dict[str, list[Any]] = person.__dict__.setdefault(_KEPT, {})
    if thing not in kept:
        kept[thing] = _keys(thing, person, frozenset(Right))
    return kept[thing]


def _granted(thing: str, person: AbstractUser, rights: Collection[Right]) -> Q:
    """Return the condition that the person has one of the rights on the thing, as it is now."""
    return _among(_keys(thing, person, rights), "")


def _among(keys: Iterable[Any], path: str) -> Q:
    found = Q(pk__in=())
    for some in keys:
        found |= Q(**{f"{path or 'pk'}__in": some})
    return found


def _keys(thing: str, person: AbstractUser, rights: Collection[Right]) -> list[Any]:
    """Return the keys of the things on which the person has one of the rights: a list, or two queries for many."""
    model = apps.get_model(thing)
    names = [_codename(right, model._meta.model_name) for right in rights]
    to_people, to_groups = _grants(model)
    found = [
        rows.filter(permission__codename__in=names).values("content_object")
        for rows in (to_people.filter(user=person), to_groups.filter(group__user=person))
    ]
    few = [key["content_object"] for key in found[0].union(found[1])[: _FEW + 1]]
    return [few] if len(few) <= _FEW else found


def _grants(thing: Any) -> tuple[QuerySet[Any], QuerySet[Any]]:  # noqa: ANN401 - a model or a row of it
    """Return the rows of guardian: what was granted to people, and what to groups."""
    tables: tuple[Any, Any] = (get_user_obj_perms_model(thing), get_group_obj_perms_model(thing))
    to_people, to_groups = (table.objects.order_by() for table in tables)
    return to_people, to_groups


def _reached(row: Model, path: str) -> object:
    """Return the key of the user at the end of the look-up; None if the way there ends before."""
    *steps, last = path.split("__")
    found: object = row
    for step in steps:
        found = getattr(found, step, None)
    return getattr(found, f"{last}_id", None)


def grant(whom: Whom, row: Model, rights: Collection[Right]) -> None:
    """Let the person, or everyone in the group, do exactly this with the folder or policy; no rights: nothing.

    A right that cannot be granted on the row is left out, and brings none to view it.
    """
    given = set(rights) & set(grantable(row))
    wanted = {*given, Right.VIEW} if given else set()
    for right in grantable(row):
        change = assign_perm if right in wanted else remove_perm
        name = _codename(right, row._meta.model_name)
        change(f"{row._meta.app_label}.{name}", whom, row)
    whom.__dict__.pop(_KEPT, None)


def grantable(row: Model) -> tuple[Right, ...]:
    """Return the rights that can be granted on the folder or policy, in the order of `Right`."""
    return GRANTED_ON[row._meta.label_lower]


def held_by(whom: Whom, row: Model) -> tuple[Right, ...]:
    """Return what was granted to the person or the group itself on the folder or policy, in the order of `Right`."""
    return next((share.rights for share in shares(row) if share.whom == whom), ())


def rights(person: AbstractUser, row: Model) -> tuple[Right, ...]:
    """Return what the person was granted, directly or by a group, in the order of `Right`; of an owner nothing."""
    held = _held(person, row)
    return tuple(right for right in Right if right in held)


def shares(row: Model) -> list[Share]:
    """Return with whom the folder or policy is shared: people first, then groups, each by name."""
    return all_shares(row).get(row.pk, [])


def all_shares(thing: Model | type[Model]) -> dict[int, list[Share]]:
    """Return what `shares` does for all folders or policies, by their keys, or for one of them."""
    found: dict[int, dict[Whom, set[str]]] = {}
    for rows, whom in zip(_grants(thing), ("user", "group"), strict=True):
        some = rows.filter(content_object=thing) if isinstance(thing, Model) else rows
        order = "user__username" if whom == "user" else "group__name"
        for given in some.select_related(whom, "permission").order_by(order):
            of = found.setdefault(given.content_object_id, {})
            of.setdefault(getattr(given, whom), set()).add(given.permission.codename)
    return {
        key: [_share(whom, _named(names, thing)) for whom, names in of.items()]
        for key, of in found.items()
    }


def is_person(whom: Whom) -> bool:
    return isinstance(whom, AbstractUser)


def _share(whom: Whom, rights: Collection[Right]) -> Share:
    return Share(whom, tuple(right for right in Right if right in rights))


def shared_with(whom: Whom) -> list[tuple[Model, tuple[Right, ...]]]:
    """Return each folder and policy with the rights that the person or the group was granted there itself."""
    found: dict[Model, set[str]] = {}
    for thing in (FOLDER, POLICY):
        to_people, to_groups = _grants(apps.get_model(thing))
        is_group = isinstance(whom, Group)
        rows = to_groups.filter(group=whom) if is_group else to_people.filter(user=whom)
        for given in rows.select_related("content_object__owner", "permission").order_by("pk"):
            found.setdefault(given.content_object, set()).add(given.permission.codename)
    return [(row, _share(whom, _named(names, row)).rights) for row, names in found.items()]


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


def may_open_snapshots(person: AbstractUser) -> bool:
    """Tell whether snapshots of the person's may be opened on this server: its kernel then reads their file systems.

    A superuser may, and so may everyone who got the permission from one; the database is asked as above.
    """
    fresh = type(person).objects.filter(pk=person.pk).first() or person
    return fresh.has_perm(f"{_SERVER_ROLE_APP}.{_OPENING}")


def let_open_snapshots(person: AbstractUser, *, on: bool = True) -> None:
    """Give the user that permission, or take it away; a group may give it all the same."""
    change = person.user_permissions.add if on else person.user_permissions.remove
    change(_permission(_OPENING))


def has_opening(person: AbstractUser) -> bool:
    """Tell whether the user has that permission directly, not through a group or as a superuser."""
    return _has_directly(person, _OPENING)


def with_opening() -> set[int]:
    """Return the keys of all users who have the permission as `has_opening` says."""
    return set(_permission(_OPENING).user_set.values_list("pk", flat=True))


def has_server_role(person: AbstractUser) -> bool:
    """Tell whether the user has the permission directly, not through a group or as a superuser."""
    return _has_directly(person, _SERVER_ROLE)


def with_server_role() -> set[int]:
    """Return the keys of all users who have the permission as `has_server_role` says."""
    return set(_permission(_SERVER_ROLE).user_set.values_list("pk", flat=True))


def set_server_role(person: AbstractUser, *, given: bool) -> None:
    """Give the user the permission directly, or remove it; permissions through groups stay."""
    change = person.user_permissions.add if given else person.user_permissions.remove
    change(_permission(_SERVER_ROLE))


def _has_directly(person: AbstractUser, codename: str) -> bool:
    return bool(person.pk) and person.user_permissions.filter(pk=_permission(codename).pk).exists()


def _permission(codename: str) -> Permission:
    rows = Permission.objects.filter(content_type__app_label=_SERVER_ROLE_APP)
    return rows.get(codename=codename)
