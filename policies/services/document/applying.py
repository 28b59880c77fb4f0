"""A document made true: users, accounts, schedules and policies as code. All or nothing, and twice is once.

What the document does not name stays as it is, and nothing is ever deleted. Each entry goes through the same
saving rules as the admin's forms. Passwords and secrets come from the environment and are told nowhere.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError, models, transaction

from policies.domain.document import keys
from policies.domain.document.marked import Entry, Mistake, Place
from policies.domain.errors import InputError
from policies.domain.schedules import disabled
from policies.domain.schedules.schedule import Unit
from policies.models import Account, Policy, PolicyTarget, Schedule
from policies.services.alarms import receivers
from policies.services.document import columns
from policies.services.entry import accounts, policies, schedules
from scripts_admin import permissions
from scripts_admin.models import Folder, User
from scripts_admin.services import folders, users

CREATED, CHANGED, UNCHANGED = "created", "changed", "unchanged"
USER, ACCOUNT, SCHEDULE, POLICY = "user", "account", "schedule", "policy"
# Anything else may be the secret itself, written where its variable's name belongs.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


class MistakesError(InputError):
    """The document cannot be applied; nothing was changed."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        """Keep the mistakes in the order of their lines, each once."""
        self.mistakes = sorted(set(mistakes))
        many = f"{len(self.mistakes)} mistakes" if len(self.mistakes) > 1 else "1 mistake"
        super().__init__(f"{many}: correct the document and apply it again. Nothing was changed.")


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one entry; `fields` says how each field changed, secrets as "(set)"."""

    kind: str
    name: str
    action: str
    fields: Mapping[str, str] = field(default_factory=dict)


def apply(text: str, environment: Mapping[str, str], *, dry_run: bool = False) -> list[Change]:
    """Make the rows as the document says; return what became of each entry, in its order.

    MistakesError with everything that is wrong, and nothing changed. A dry run does the same and then
    takes everything back; it makes no folder.
    """
    wanted, mistakes = keys.read(text)
    application = _Application(environment, mistakes)
    application.hash_passwords(wanted.users)
    application.read_alarm_urls((*wanted.users, *wanted.policies))
    try:
        with transaction.atomic():
            changes = application.run(wanted)
            if application.mistakes:
                raise MistakesError(application.mistakes)
            if dry_run:
                transaction.set_rollback(True)
            else:
                _make_folders(application.folders)
    except OperationalError as error:
        raise InputError(
            f"The database did not take it ({error}), so nothing was changed: apply the document again."
        ) from error
    except IntegrityError:
        raise InputError(
            "Somebody else changed the same users, accounts, schedules or policies at the same time, so nothing "
            "was changed: apply the document again."
        ) from None
    return changes


def _make_folders(made: Iterable[Folder]) -> None:
    """Make the folders last, when all else is right: what is on disk is not taken back."""
    for folder in made:
        try:
            users.make_folder(folder)
        except ValidationError as error:
            raise InputError(" ".join(error.messages)) from None


class _Application:
    """One document on its way into the rows, within the caller's transaction."""

    def __init__(self, environment: Mapping[str, str], mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        self.folders: list[Folder] = []
        self._environment = environment
        # Named in the document but wrong there: whoever refers to them is told nothing new. A name
        # that could not be read might be any.
        self._spoilt: set[tuple[str, str]] = set()
        self._passwords: dict[str, str] = {}
        self._users: dict[str, User] = {}
        self._alarms: dict[Place, dict[str, str]] = {}

    def hash_passwords(self, entries: Iterable[Entry]) -> None:
        """Work new passwords out before the transaction: each takes a good part of a second by design."""
        for entry in entries:
            password = self._environment.get(entry.values.get("password_env", ""), "")
            name = columns.name(entry)
            if not password or name is None:
                continue
            row = User.objects.filter(username=name).first() or User(username=name)
            if not (row.password and row.check_password(password)):
                row.set_password(password)
                self._passwords[name] = row.password

    def read_alarm_urls(self, entries: Iterable[Entry]) -> None:
        """Read and check where alarms and pings go before the transaction, as a process is asked about them."""
        named = {"alarm_urls_env": "urls", "ping_url_env": "ping_url"}
        for entry in entries:
            said = {column: self._variable(entry, key) for key, column in named.items()}
            entered = receivers.entered(**said)
            self._ask(entry, CHANGED, partial(receivers.check, entered))
            self._alarms[entry.place] = entered

    def run(self, wanted: keys.Document) -> list[Change]:
        """Enter users, then what is theirs; return what became of the entries that are right."""
        steps: list[tuple[str, tuple[Entry, ...], Callable[[Entry], Change | None]]] = [
            (USER, wanted.users, self._user),
            (ACCOUNT, wanted.accounts, self._account),
            (SCHEDULE, wanted.schedules, self._schedule),
            (POLICY, wanted.policies, self._policy),
        ]
        changes = []
        for kind, entries, step in steps:
            for entry in entries:
                change = step(entry)
                if change is not None:
                    changes.append(change)
                else:
                    self._spoilt.add((kind, columns.reference(entry)))
        return changes

    def _user(self, entry: Entry) -> Change | None:
        name = columns.name(entry)
        if name is None:
            return None
        row = User.objects.filter(username=name).first() or User(username=name)
        fields = columns.fill(row, entry, columns.USER)
        if "is_superuser" in fields:
            row.is_staff = row.is_superuser  # the admin pages are theirs
        if self._variable(entry, "password_env") and name in self._passwords:
            row.password = self._passwords[name]
            fields["password"] = columns.SECRET
        elif not row.password:
            row.set_unusable_password()
        action = _action(row, fields)
        self._ask(entry, action, lambda: users.check(row))
        if entry.unread:
            return None
        # Also where nothing changed: a folder that is missing is made again.
        folder = folders.of(row) if action == UNCHANGED else users.enter(row)
        self.folders.append(folder)
        more = dict.fromkeys(
            receivers.save(receivers.of(user=row), self._alarms[entry.place]), columns.SECRET
        )
        if self._server_role(entry, row):
            more["server_role"] = columns.shown(None, entry.values["server_role"])
        if more:
            fields |= more
            action = action if action == CREATED else CHANGED
        return Change(USER, name, action, columns.named(fields))

    @staticmethod
    def _server_role(entry: Entry, row: User) -> bool:
        """Give or take the right as the entry says; tell whether that changed anything."""
        given = entry.values.get("server_role")
        if given is None or given == permissions.has_server_role(row):
            return False
        permissions.set_server_role(row, given=given)
        return True

    def _account(self, entry: Entry) -> Change | None:
        owner, name = self._owner(entry), columns.name(entry)
        if owner is None or name is None:
            return None
        row = owner.accounts.filter(name=name).first() or Account(owner=owner, name=name)
        fields = columns.fill(row, entry, columns.ACCOUNT)
        secret = self._variable(entry, "secret_access_key_env")
        if row.auth != Account.Auth.ROLE and "role_arn" not in entry.values:
            row.role_arn = ""
        if row.auth in {Account.Auth.ROLE, Account.Auth.INSTANCE}:
            self._forget_keys(entry, row)
        elif secret and row.secret_access_key != secret:
            row.secret_access_key = secret
            fields["secret_access_key"] = columns.SECRET
        renamed = {"secret_access_key_env": "secret_access_key"}
        unread = {renamed.get(key, key) for key in entry.unread}
        action = _action(row, fields)
        self._ask(entry, action, lambda: accounts.check(row, unread=unread))
        if entry.unread:
            return None
        if action != UNCHANGED:
            accounts.save(row)
        return Change(ACCOUNT, f"{owner.username}/{name}", action, columns.named(fields))

    def _forget_keys(self, entry: Entry, row: Account) -> None:
        if "access_key_id" not in entry.values:
            row.access_key_id = ""
        if "secret_access_key_env" in entry.values:
            sentence = f"A role (auth: {row.auth}) needs no secret access key: take this out."
            self._tell(entry, "secret_access_key_env", sentence)

    def _schedule(self, entry: Entry) -> Change | None:
        owner, name = self._owner(entry), columns.name(entry)
        if owner is None or name is None:
            return None
        row = owner.schedules.filter(name=name).first() or Schedule(owner=owner, name=name)
        self._one_unit(entry)
        fields = columns.fill_schedule(row, entry) | self._disabled(entry, row)
        unread = columns.unread_of_schedule(entry)
        action = _action(row, fields)
        self._ask(entry, action, lambda: schedules.check(row, unread=unread))
        if entry.unread:
            return None
        if action != UNCHANGED:
            schedules.save(row)
        return Change(SCHEDULE, f"{owner.username}/{name}", action, columns.named(fields))

    def _one_unit(self, entry: Entry) -> None:
        every = entry.values.get("every")
        if every is not None and "every" not in entry.unread and len(every.values) != 1:
            sentence = f"every counts one unit: write one of {', '.join(Unit)}, such as hours: 6."
            self._tell(entry, "every", sentence)

    def _disabled(self, entry: Entry, row: Schedule) -> dict[str, str]:
        """Set the disabled times that the entry names; each that cannot be is told at its place."""
        if "disabled" not in entry.values:
            return {}
        lines = []
        for each in entry.values["disabled"]:
            if each.unread:
                continue
            days, begins, ends = (each.values.get(key) for key in ("days", "from", "to"))
            try:
                lines.append(str(disabled.make(days or (), begins or "00:00", ends or "24:00")))
            except ValueError as error:
                self.mistakes.append(Mistake(each.place, str(error)))
                entry.unread.add("disabled")
        old, row.disabled = row.disabled, lines
        if row.pk and old == lines:
            return {}
        return {"disabled": columns.shown(", ".join(old) if row.pk else None, ", ".join(lines))}

    def _policy(self, entry: Entry) -> Change | None:
        owner, name, targets = self._owner(entry), columns.name(entry), self._targets(entry)
        row = _policy_row(owner, name or "")
        fields = columns.fill_policy(row, entry)
        unread = columns.unread_of_policy(entry)
        unread |= {"name"} if name is None else set()
        account = self._account_of_policy(entry, row, owner)
        if account is None or owner is None:
            unread |= {"account", *([] if owner else ["owner"])}
        elif not row.pk or row.account_id != account.pk:
            fields["account"] = columns.shown(row.account.name if row.pk else None, account.name)
            row.account = account
        if not row.pk and "targets" not in entry.places:
            self._tell(entry, "targets", policies.NO_TARGET)
        followed = self._schedules(entry, owner)
        fields |= columns.followed(row, followed)
        action = _action(row, fields)
        self._ask(entry, action, lambda: policies.check(row, unread=unread))
        if entry.unread or owner is None or name is None or account is None:
            return None
        if action != UNCHANGED:
            policies.save(row, followed)
        more = dict.fromkeys(
            receivers.save(receivers.of(policy=row), self._alarms[entry.place]), columns.SECRET
        )
        old = list(row.targets.order_by("pk"))
        if targets and policies.replace_targets(row, targets):
            more["targets"] = columns.shown(columns.listed(old) or None, columns.listed(targets))
        if more:
            fields |= more
            action = action if action == CREATED else CHANGED
        return Change(POLICY, f"{owner.username}/{name}", action, columns.named(fields))

    def _targets(self, entry: Entry) -> list[PolicyTarget]:
        """Return the targets that the entry names; none where it names none or one is wrong."""
        read: tuple[Entry, ...] = entry.values.get("targets", ())
        if not read and "targets" in entry.values and "targets" not in entry.unread:
            self._tell(entry, "targets", policies.NO_TARGET)
        targets = [columns.target(each) for each in read]
        for index, column, sentence in policies.check_targets(targets):
            of, key = read[index], columns.target_key(column)
            # What could not be read, or is not there, is told already.
            if key not in of.unread and not (key == "instance" and "volume" in of.unread):
                self.mistakes.append(Mistake(of.where(key), sentence))
                entry.unread.add("targets")
        return [] if "targets" in entry.unread else targets

    def _owner(self, entry: Entry) -> User | None:
        name = entry.values.get("owner")
        if name is None:
            return None
        found = self._users.get(name) or User.objects.filter(username=name).first()
        if found is not None:
            self._users[name] = found
        if found is None and not {(USER, name.lower()), (USER, "")} & self._spoilt:
            sentence = f"There is no user {name}: add them to users, or correct the name."
            self._tell(entry, "owner", sentence)
        return found

    def _account_of_policy(self, entry: Entry, row: Policy, owner: User | None) -> Account | None:
        if "account" not in entry.places:
            if row.pk:
                return row.account
            self._tell(entry, "account", "account is missing: name one of the owner's accounts.")
        name = entry.values.get("account")
        if name is None or owner is None:
            return None
        found = owner.accounts.filter(name=name).first()
        if found is None and not self._is_spoilt(ACCOUNT, owner, name):
            sentence = f"{owner.username} has no account {name}: add it, or correct the name."
            self._tell(entry, "account", sentence)
        return found

    def _schedules(self, entry: Entry, owner: User | None) -> list[Schedule] | None:
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

    def _variable(self, entry: Entry, key: str) -> str:
        """Return what the variable that the key names holds, or nothing; a missing one is told."""
        name = entry.values.get(key)
        value = self._environment.get(name, "") if name else ""
        if name is None or value:
            return value
        if _VARIABLE.fullmatch(name):
            sentence = f"The environment variable {name} is not set: set it where apply runs."
        else:
            sentence = (
                "This names no environment variable that is set: write the variable's name here, and "
                "the secret into the variable."
            )
        self._tell(entry, key, sentence)
        return ""

    def _ask(self, entry: Entry, action: str, check: Callable[[], None]) -> None:
        """Tell what the saving rules say, at the keys that say what the columns hold.

        What stays as it is is not saved, and is not asked about: a right may have been withdrawn since.
        """
        if action == UNCHANGED and not entry.unread:
            return
        try:
            check()
        except ValidationError as error:
            for column, sentences in error.message_dict.items():
                where = columns.place(entry, column)
                self.mistakes += [Mistake(where, sentence) for sentence in sentences]
                entry.unread.add(column)

    def _tell(self, entry: Entry, key: str, sentence: str) -> None:
        self.mistakes.append(Mistake(entry.where(key), sentence))
        entry.unread.add(key)


def _policy_row(owner: User | None, name: str) -> Policy:
    if owner is None:
        return Policy(name=name)
    rows = Policy.objects.select_related("account", "owner", "folder")
    return rows.filter(owner=owner, name=name).first() or Policy(owner=owner, name=name)


def _action(row: models.Model, fields: Mapping[str, str]) -> str:
    if not row.pk:
        return CREATED
    return CHANGED if fields else UNCHANGED
