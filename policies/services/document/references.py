"""What the entries of a document refer to, and everything that is told as wrong about them.

A name that is wrong where it stands is told there, and not again by whoever refers to it.
"""

import re
from collections.abc import Callable, Mapping

from django.core.exceptions import ValidationError

from policies.domain.document.marked import Entry, Mistake
from policies.models import Account, Policy, Schedule
from policies.services.document import columns
from scripts_admin.models import User

USER, ACCOUNT, SCHEDULE, POLICY = "user", "account", "schedule", "policy"
# Anything else may be the secret itself, written where its variable's name belongs.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


class References:
    """The rows and environment variables that one document's entries name, and its mistakes."""

    def __init__(self, environment: Mapping[str, str], mistakes: list[Mistake]) -> None:
        """Keep the mistakes that were told already."""
        self.mistakes = mistakes
        self._environment = environment
        # Named in the document but wrong there: whoever refers to them is told nothing new. A name
        # that could not be read might be any.
        self._spoilt: set[tuple[str, str]] = set()
        self._users: dict[str, User] = {}

    def tell(self, entry: Entry, key: str, sentence: str) -> None:
        """Note a mistake at the key; the entry is not entered."""
        self.mistakes.append(Mistake(entry.where(key), sentence))
        entry.unread.add(key)

    def ask(self, entry: Entry, check: Callable[[], None]) -> None:
        """Tell what the saving rules say, at the keys that say what the columns hold."""
        try:
            check()
        except ValidationError as error:
            for column, sentences in error.message_dict.items():
                where = entry.where(columns.key_of(column))
                self.mistakes += [Mistake(where, sentence) for sentence in sentences]
                entry.unread.add(column)

    def spoil(self, kind: str, entry: Entry) -> None:
        """Remember that what the entry names is not there because the entry is wrong."""
        owner = f"{entry.values.get('owner', '')}/" if "owner" in entry.places else ""
        self._spoilt.add((kind, f"{owner}{entry.values.get('name', '')}".lower()))

    def secret(self, entry: Entry, key: str) -> str:
        """Return what the variable that the key names holds, or nothing; tells nothing."""
        return self._environment.get(entry.values.get(key, ""), "")

    def variable(self, entry: Entry, key: str) -> str:
        """Return what the variable that the key names holds, or nothing; a missing one is told."""
        name, value = entry.values.get(key), self.secret(entry, key)
        if name is None or value:
            return value
        if _VARIABLE.fullmatch(name):
            sentence = f"The environment variable {name} is not set: set it where apply runs."
        else:
            sentence = (
                "This names no environment variable that is set: write the variable's name here, and "
                "the secret into the variable."
            )
        self.tell(entry, key, sentence)
        return ""

    def owner(self, entry: Entry) -> User | None:
        """Return the user whom the entry names as owner."""
        name = entry.values.get("owner")
        if name is None:
            return None
        found = self._users.get(name) or User.objects.filter(username=name).first()
        if found is not None:
            self._users[name] = found
        if found is None and not {(USER, name.lower()), (USER, "")} & self._spoilt:
            sentence = f"There is no user {name}: add them to users, or correct the name."
            self.tell(entry, "owner", sentence)
        return found

    def account(self, entry: Entry, row: Policy, owner: User | None) -> Account | None:
        """Return the account that the policy's entry names, or the one that the row has where it names none."""
        if "account" not in entry.places:
            if row.pk:
                return row.account
            self.tell(entry, "account", "account is missing: name one of the owner's accounts.")
        name = entry.values.get("account")
        if name is None or owner is None:
            return None
        found = owner.accounts.filter(name=name).first()
        if found is None and not self._is_spoilt(ACCOUNT, owner, name):
            sentence = f"{owner.username} has no account {name}: add it, or correct the name."
            self.tell(entry, "account", sentence)
        return found

    def schedules(self, entry: Entry, owner: User | None) -> list[Schedule] | None:
        """Return the schedules that the entry names; None where it names none, or one is wrong."""
        if "schedules" not in entry.values or owner is None:
            return None
        found = {row.name: row for row in owner.schedules.all()}
        for name, where in entry.values["schedules"]:
            if name not in found and not self._is_spoilt(SCHEDULE, owner, name):
                sentence = f"{owner.username} has no schedule {name}: add it, or correct the name."
                self.mistakes.append(Mistake(where, sentence))
                entry.unread.add("schedules")
        if "schedules" in entry.unread:
            return None
        return [found[name] for name, _ in entry.values["schedules"] if name in found]

    def _is_spoilt(self, kind: str, owner: User, name: str) -> bool:
        """Tell whether it is named in the document but wrong there, or may be what could not be read."""
        own = f"{owner.username}/"
        return bool({(kind, f"{own}{name}".lower()), (kind, own)} & self._spoilt)
