"""Whose Linux account is how: each user, and each account that was made for a user who is gone."""

from collections.abc import Iterable

from django.db.models import QuerySet

from scripts_admin.domain.linux_register import Kind
from scripts_admin.folders.provisioning import state
from scripts_admin.folders.provisioning.machine import Machine
from scripts_admin.folders.provisioning.state import AccountState
from scripts_admin.models import User


def listed() -> QuerySet[User]:
    """Return the users who get an account, or got one."""
    return User.objects.filter(is_superuser=False).order_by("-is_active", "username")


def rows(on: Machine, people: Iterable[User]) -> list[AccountState]:
    return [state.of_account(on, each.username, is_wanted=each.is_active) for each in people]


def left(on: Machine) -> list[AccountState]:
    """Return the accounts that nobody on the list has: of people who are deleted, or superusers by now."""
    made = {each.name for each in on.register.values() if each.kind == Kind.TENANT}
    here = set(listed().filter(username__in=made).values_list("username", flat=True))
    return [state.of_account(on, name, is_wanted=False) for name in sorted(made - here)]


def problems(on: Machine) -> list[str]:
    """Return everything that is wrong with the accounts of this machine, with what mends it."""
    found = state.of_machine(on)
    said = [*found.problems, *([f"As root: {found.mend}."] if found.mend else [])]
    for row in (*left(on), *rows(on, listed().filter(username__in=on.register))):
        said += [f"{row.name}: {problem}" for problem in row.problems]
        said += [f"As root: {row.mend}."] if row.mend else []
    return said
