"""Permissions that a document gives to users, beyond what is theirs: the server's AWS role, and its kernel."""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from policies.domain.document.marked import Entry
from policies.services.document import columns
from scripts_admin import permissions
from scripts_admin.models import User
from scripts_admin.services import mounting, users


class _Grant(NamedTuple):
    has: Callable[[User], bool]
    give: Callable[[User, bool], object]
    holders: Callable[[], Collection[int]]


_GRANTS = {
    "server_role": _Grant(
        permissions.has_server_role,
        lambda user, given: users.give_server_role(user, given=given),
        permissions.with_server_role,
    ),
    "open_snapshots": _Grant(
        permissions.has_opening,
        lambda user, given: mounting.allow(user, on=given),
        permissions.with_opening,
    ),
}


def enter(entry: Entry, row: User) -> dict[str, str]:
    """Give or withdraw what the entry names; return the changes in words. Permissions through groups stay."""
    said: dict[str, str] = {}
    for key, grant in _GRANTS.items():
        given = entry.values.get(key)
        if given is not None and given != grant.has(row):
            grant.give(row, given)
            said[key] = columns.shown(None, given)
    return said


def exported(rows: Iterable[User]) -> dict[int, dict[str, bool]]:
    """Return what each user has, by key, as the document has it."""
    holders = {key: grant.holders() for key, grant in _GRANTS.items()}
    return {row.pk: {key: row.pk in found for key, found in holders.items()} for row in rows}
