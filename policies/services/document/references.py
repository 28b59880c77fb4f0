"""The rows and variables that the entries of a document refer to, and all mistakes in these references.

A mistake in a name is reported where the name is defined, and not again where it is used.
"""

import re
from collections.abc import Callable, Mapping

from django.core.exceptions import ValidationError

from n2wbackup.lib import nearest
from policies.domain.document.marked import Entry, Mistake
from policies.models import Account, Policy, Schedule
from policies.services.document import columns
from scripts_admin.models import User

USER, ACCOUNT, SCHEDULE, POLICY = "user", "account", "schedule", "policy"
# Anything else may be the secret itself, written in place of the variable's name.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


class References:
    """The rows and environment variables that one document's entries name, and its mistakes."""

    def __init__(self, environment: Mapping[str, str], mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        self._environment = environment
        # Named in the document but wrong there: references to them are not reported again. A name
        # that could not be read might be any name.
        self._spoilt: set[tuple[str, str]] = set()
        self._users: dict[str, User] = {}

    def tell(self, entry: Entry, key: str, sentence: str) -> None:
        """Add a mistake at the key; the entry is then not saved."""
        self.mistakes.append(Mistake(entry.where(key), sentence))
        entry.unread.add(key)

    def ask(self, entry: Entry, check: Callable[[], None]) -> None:
        """Add the mistakes that the saving rules find, at the keys of the columns."""
        try:
            check()
        except ValidationError as error:
            for column, sentences in error.message_dict.items():
                where = entry.where(columns.key_of(column))
                self.mistakes += [Mistake(where, sentence) for sentence in sentences]
                entry.unread.add(column)

    def spoil(self, kind: str, entry: Entry) -> None:
        """Remember that the entry's row is missing because the entry is wrong."""
        owner = f"{entry.values.get('owner', '')}/" if "owner" in entry.places else ""
        self._spoilt.add((kind, f"{owner}{entry.values.get('name', '')}".lower()))

    def secret(self, entry: Entry, key: str) -> str:
        """Return the value of the variable that the key names, or ""; reports no mistake."""
        return self._environment.get(entry.values.get(key, ""), "")

    def variable(self, entry: Entry, key: str) -> str:
        """Return the value of the variable that the key names, or ""; a missing variable is a mistake."""
        name, value = entry.values.get(key), self.secret(entry, key)
        if name is None or value:
            return value
        if _VARIABLE.fullmatch(name):
            sentence = f"The environment variable {name} is not set: set it where apply runs."
        else:
            sentence = (
                "This is not the name of an environment variable that is set: write the variable's name here, "
                "and put the secret into the variable."
            )
        self.tell(entry, key, sentence)
        return ""

    def owner(self, entry: Entry) -> User | None:
        """Return the user that the entry names as owner."""
        name = entry.values.get("owner")
        if name is None:
            return None
        found = self._users.get(name) or User.objects.filter(username=name).first()
        if found is not None:
            self._users[name] = found
        if found is None and not self.is_spoilt_user(name):
            near = nearest.hint(name, User.objects.values_list("username", flat=True))
            sentence = f"There is no user {name}: add them to users, or correct the name.{near}"
            self.tell(entry, "owner", sentence)
        return found

    def account(self, entry: Entry, row: Policy, owner: User | None) -> Account | None:
        """Return the account that the policy's entry names; if it names none, the row's present account."""
        if "account" not in entry.places:
            if row.pk:
                return row.account
            self.tell(entry, "account", "account is missing: name one of the owner's accounts.")
        name = entry.values.get("account")
        if name is None or owner is None:
            return None
        found = owner.accounts.filter(name=name).first()
        if found is None and not self.is_spoilt(ACCOUNT, owner, name):
            near = nearest.hint(name, owner.accounts.values_list("name", flat=True))
            sentence = f"{owner.username} has no account {name}: add it, or correct the name.{near}"
            self.tell(entry, "account", sentence)
        return found

    def schedules(self, entry: Entry, owner: User | None) -> list[Schedule] | None:
        """Return the schedules that the entry names; None if it names none or if one is wrong."""
        if "schedules" not in entry.values or owner is None:
            return None
        found = {row.name: row for row in owner.schedules.all()}
        for name, where in entry.values["schedules"]:
            if name not in found and not self.is_spoilt(SCHEDULE, owner, name):
                near = nearest.hint(name, found)
                sentence = (
                    f"{owner.username} has no schedule {name}: add it, or correct the name.{near}"
                )
                self.mistakes.append(Mistake(where, sentence))
                entry.unread.add("schedules")
        if "schedules" in entry.unread:
            return None
        return [found[name] for name, _ in entry.values["schedules"] if name in found]

    def is_spoilt_user(self, name: str) -> bool:
        """Return whether the document names this user but wrongly, or names one that could not be read."""
        return bool({(USER, name.lower()), (USER, "")} & self._spoilt)

    def is_spoilt(self, kind: str, owner: User, name: str) -> bool:
        """Return whether the document names it but wrongly, or whether it may be a name that could not be read."""
        own = f"{owner.username}/"
        return bool({(kind, f"{own}{name}".lower()), (kind, own)} & self._spoilt)
