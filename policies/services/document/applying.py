"""Apply a document: users, accounts, schedules and policies as code. All or nothing; a second apply changes nothing.

Everything that the document does not name stays as it is, and nothing is ever deleted. Each entry goes through the
same saving rules as the admin's forms. Passwords and secrets come from the environment and are shown nowhere.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError, models, transaction

from n2wbackup.lib import trouble
from policies.domain.document import keys
from policies.domain.document.marked import Entry, Mistake, Place
from policies.domain.errors import InputError
from policies.domain.schedules import disabled
from policies.domain.schedules.schedule import Unit
from policies.models import Account, AlarmReceivers, Policy, PolicyTarget, Schedule
from policies.services.alarms import receivers
from policies.services.document import columns, copies, enrolments, grants, sharings, telling
from policies.services.document.references import (
    ACCOUNT,
    POLICY,
    SCHEDULE,
    USER,
    References,
)
from policies.services.entry import accounts, keeping, policies, reach, schedules
from policies.services.window import on_instances
from scripts_admin.models import Folder, User
from scripts_admin.services import audit, folders, users

ENROLMENT, SHARING = "enrolment", "sharing"
_Enter = Callable[[Entry, References], tuple[str, dict[str, str]]]
CREATED, CHANGED, UNCHANGED = "created", "changed", "unchanged"


class MistakesError(InputError):
    """The document cannot be applied; nothing was changed."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        """Keep each mistake once, in the order of the lines."""
        self.mistakes = sorted(set(mistakes))
        many = f"{len(self.mistakes)} mistakes" if len(self.mistakes) > 1 else "1 mistake"
        super().__init__(f"{many}: correct the document and apply it again. Nothing was changed.")


@dataclass(frozen=True, slots=True)
class Change:
    """The result of one entry; `fields` shows how each field changed, secrets as "(set)"."""

    kind: str
    name: str
    action: str
    fields: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()  # nothing is refused for them


def apply(text: str, environment: Mapping[str, str], *, dry_run: bool = False) -> list[Change]:
    """Make the rows as the document says; return the result of each entry, in order.

    On mistakes: MistakesError with all of them, and nothing is changed. A dry run does the same and then
    rolls everything back; it makes no folder.
    """
    wanted, mistakes = keys.read(text)
    application = _Application(References(environment, mistakes))
    application.hash_passwords(wanted.users)
    application.read_alarm_urls((*wanted.users, *wanted.policies))
    try:
        with transaction.atomic():
            with audit.together():
                changes = application.run(wanted)
            if application.mistakes:
                raise MistakesError(application.mistakes)
            if dry_run:
                transaction.set_rollback(True)
            else:
                _make_folders(application.folders)
    except OperationalError as error:
        raise InputError(f"{trouble.of_database(error)} Nothing was changed.") from error
    except IntegrityError:
        raise InputError(
            "The same users, accounts, schedules or policies were changed by someone else at the same time, so "
            "nothing was changed: apply the document again."
        ) from None
    return changes


def _weakness(password: str, user: User) -> str:
    """Return why Django's validators refuse the password, in a sentence without it; "" if they do not."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        return f"The password is refused: {' '.join(error.messages)} Put another one into the variable."
    return ""


def _make_folders(made: Iterable[Folder]) -> None:
    """Make the folders last, when all else is right: a rollback does not remove them from the disk."""
    for folder in made:
        try:
            users.make_folder(folder)
        except ValidationError as error:
            raise InputError(" ".join(error.messages)) from None


class _Application:
    """Applies one document within the caller's transaction.

    The steps are the same for each entry: find what it refers to, fill the row, ask the saving rules, save.
    """

    def __init__(self, references: References) -> None:
        self.folders: list[Folder] = []
        self._references = references
        self._passwords: dict[str, str] = {}
        self._weak: dict[str, str] = {}
        self._alarms: dict[Place, dict[str, str]] = {}
        self._entered: list[tuple[Entry, Policy]] = []  # whose targets are in the document

    @property
    def mistakes(self) -> list[Mistake]:
        return self._references.mistakes

    def hash_passwords(self, entries: Iterable[Entry]) -> None:
        """Hash new passwords before the transaction: by design, each takes a good part of a second."""
        for entry in entries:
            password, name = self._references.secret(entry, "password_env"), _name(entry)
            if not password or name is None:
                continue
            row = User.objects.filter(username=name).first() or User(username=name)
            if row.password and row.check_password(password):
                continue
            row.email = str(
                entry.values.get("email", row.email)
            )  # the password must not be like it
            self._weak[name] = _weakness(password, row)
            row.set_password(password)
            self._passwords[name] = row.password

    def read_alarm_urls(self, entries: Iterable[Entry]) -> None:
        """Read and check alarm and ping URLs before the transaction, as the check starts a process."""
        for entry in entries:
            entered = receivers.entered(
                **{
                    column: self._references.variable(entry, columns.key_of(column))
                    for column in ("urls", "ping_url")
                }
            )
            self._references.ask(entry, partial(receivers.check, entered))
            self._alarms[entry.place] = entered

    def run(self, wanted: keys.Document) -> list[Change]:
        """Enter users, then the rows that they own; return the results of the correct entries."""
        steps: list[tuple[str, tuple[Entry, ...], Callable[[Entry], Change | None]]] = [
            (USER, wanted.users, self._user),
            (ACCOUNT, wanted.accounts, self._account),
            (SCHEDULE, wanted.schedules, self._schedule),
            (POLICY, wanted.policies, self._policy),
            (ENROLMENT, enrolments.named(wanted.accounts), self._last(ENROLMENT, enrolments.enter)),
            (
                SHARING,
                sharings.named((*wanted.users, *wanted.policies)),
                self._last(SHARING, sharings.enter),
            ),
        ]
        changes = []
        for kind, entries, step in steps:
            for entry in entries:
                change = step(entry)
                if change is not None:
                    changes.append(change)
                else:
                    self._references.spoil(kind, entry)
        enrolments.adopt(self._entered)
        return changes

    def _last(self, kind: str, enter: _Enter) -> Callable[[Entry], Change | None]:
        def step(entry: Entry) -> Change | None:
            name, said = enter(entry, self._references)
            return _change(kind, name, CHANGED if said else UNCHANGED, said) if name else None

        return step

    def _user(self, entry: Entry) -> Change | None:
        name = _name(entry)
        if name is None:
            return None
        row = User.objects.filter(username=name).first() or User(username=name)
        said = columns.fill(row, entry, columns.USER) | self._password(entry, row)
        if "superuser" in said:
            row.is_staff = row.is_superuser  # every superuser may open the admin pages
        action = _action(row, said)
        self._ask(entry, action, lambda: users.check(row))
        if entry.unread:
            return None
        # Even if nothing changed: a missing folder is made again.
        folder = folders.of(row) if action == UNCHANGED else users.enter(row)
        self.folders.append(folder)
        more = self._receivers(entry, receivers.of(user=row))
        more |= grants.enter(entry, row)
        return _change(USER, name, action, said, more)

    def _password(self, entry: Entry, row: User) -> dict[str, str]:
        weakness = self._weak.get(row.username)
        if weakness:
            self._references.tell(entry, "password_env", weakness)
        elif self._references.variable(entry, "password_env") and row.username in self._passwords:
            row.password = self._passwords[row.username]
            return {"password": columns.SECRET}
        if not row.password:
            row.set_unusable_password()
        return {}

    def _account(self, entry: Entry) -> Change | None:
        owner, name = self._references.owner(entry), _name(entry)
        if owner is None or name is None:
            return None
        row = owner.accounts.filter(name=name).first() or Account(owner=owner, name=name)
        said = columns.fill(row, entry, columns.ACCOUNT)
        if row.auth != Account.Auth.ROLE and "role_arn" not in entry.values:
            row.role_arn = ""
        said |= self._access_keys(entry, row)
        unread = columns.unread_of_account(entry)
        action = _action(row, said)
        self._ask(entry, action, lambda: accounts.check(row, unread=unread))
        if entry.unread:
            return None
        if action != UNCHANGED:
            accounts.save(row)
        return _change(ACCOUNT, f"{owner.username}/{name}", action, said)

    def _access_keys(self, entry: Entry, row: Account) -> dict[str, str]:
        """Take the secret from the entry's variable; an account with a role has no keys."""
        key = columns.key_of("secret_access_key")
        secret = self._references.variable(entry, key)
        if row.auth in {Account.Auth.ROLE, Account.Auth.INSTANCE}:
            self._forget_keys(entry, row)
        elif secret and row.secret_access_key != secret:
            row.secret_access_key = secret
            return {key: columns.SECRET}
        return {}

    def _forget_keys(self, entry: Entry, row: Account) -> None:
        if "access_key_id" not in entry.values:
            row.access_key_id = ""
        if "secret_access_key_env" in entry.values:
            sentence = f"A role (auth: {row.auth}) needs no secret access key: remove this key."
            self._references.tell(entry, "secret_access_key_env", sentence)

    def _schedule(self, entry: Entry) -> Change | None:
        owner, name = self._references.owner(entry), _name(entry)
        if owner is None or name is None:
            return None
        row = owner.schedules.filter(name=name).first() or Schedule(owner=owner, name=name)
        self._one_unit(entry)
        said = columns.fill_schedule(row, entry) | self._disabled(entry, row)
        unread = columns.unread_of_schedule(entry)
        action = _action(row, said)
        self._ask(entry, action, lambda: schedules.check(row, unread=unread))
        if entry.unread:
            return None
        if action != UNCHANGED:
            schedules.save(row)
        return _change(SCHEDULE, f"{owner.username}/{name}", action, said)

    def _one_unit(self, entry: Entry) -> None:
        every = entry.values.get("every")
        if every is not None and "every" not in entry.unread and len(every.values) != 1:
            sentence = (
                f"every takes exactly one unit: write one of {', '.join(Unit)}, such as hours: 6."
            )
            self._references.tell(entry, "every", sentence)

    def _disabled(self, entry: Entry, row: Schedule) -> dict[str, str]:
        """Set the disabled times that the entry names; report each mistake at its place."""
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
        owner, name, targets = self._references.owner(entry), _name(entry), self._targets(entry)
        row = _policy_row(owner, name or "")
        if not row.pk and "targets" not in entry.places:
            self._references.tell(entry, "targets", policies.NO_TARGET)
        account = self._references.account(entry, row, owner)
        followed = self._references.schedules(entry, owner)
        copied_to = copies.read(self._references, entry, row, owner)
        said = columns.fill(row, entry, columns.POLICY)
        said |= columns.account(row, account) | columns.schedules(row, followed)
        found = {"name": name, "owner": owner, "account": account}
        missing = {column for column, value in found.items() if value is None}
        unread = columns.unread(entry, columns.POLICY) | missing
        action = _action(row, said)
        self._ask(entry, action, lambda: policies.check(row, unread=unread))
        if entry.unread or owner is None or name is None or account is None:
            return None
        let_go = keeping.warnings(row) if action == CHANGED else ()
        if action != UNCHANGED:
            policies.save(row, followed)
        more = self._receivers(entry, receivers.of(policy=row)) | _targets_set(row, targets)
        more |= copies.enter(row, copied_to)
        self._entered.append((entry, row))
        change = _change(POLICY, f"{owner.username}/{name}", action, said, more)
        lacks = reach.missing(row.folder, on_instances.remotes(row)) if row.scripts_enabled else ()
        return replace(change, warnings=(*let_go, *(str(each) for each in lacks)))

    def _targets(self, entry: Entry) -> list[PolicyTarget]:
        """Return the targets that the entry names; none if it names none or if one is wrong."""
        read: tuple[Entry, ...] = entry.values.get("targets", ())
        if not read and "targets" in entry.values and "targets" not in entry.unread:
            self._references.tell(entry, "targets", policies.NO_TARGET)
        targets = [columns.target(each) for each in read]
        for index, column, sentence in policies.check_targets(targets):
            of, key = read[index], columns.key_of_target(column)
            # A field that is missing or could not be read is reported already.
            is_told = key in of.unread or of.is_unread(key)
            if not is_told and not (key == "instance" and "volume" in of.unread):
                self.mistakes.append(Mistake(of.where(key), sentence))
                entry.unread.add("targets")
        return [] if "targets" in entry.unread else targets

    def _receivers(self, entry: Entry, of: AlarmReceivers) -> dict[str, str]:
        """Save URLs and quiet hours; return what changed."""
        return telling.enter(self._references, entry, of, self._alarms[entry.place])

    def _ask(self, entry: Entry, action: str, check: Callable[[], None]) -> None:
        """Ask the saving rules about an entry that changes its row.

        An unchanged row is neither saved nor checked: a permission may have been withdrawn since it was saved.
        """
        if action != UNCHANGED or entry.unread:
            self._references.ask(entry, check)


def _name(entry: Entry) -> str | None:
    """Return the entry's name, or None if it could not be read."""
    return None if "name" in entry.unread else entry.values.get("name")


def _policy_row(owner: User | None, name: str) -> Policy:
    if owner is None:
        return Policy(name=name)
    rows = Policy.objects.select_related("account", "owner", "folder")
    return rows.filter(owner=owner, name=name).first() or Policy(owner=owner, name=name)


def _targets_set(row: Policy, targets: Sequence[PolicyTarget]) -> dict[str, str]:
    """Make these the policy's targets, unless there are none; return the change in words."""
    old = list(row.targets.order_by("pk"))
    if not targets or not policies.replace_targets(row, targets):
        return {}
    return {"targets": columns.shown(columns.listed(old) or None, columns.listed(targets))}


def _action(row: models.Model, fields: Mapping[str, str]) -> str:
    if not row.pk:
        return CREATED
    return CHANGED if fields else UNCHANGED


def _change(
    kind: str, name: str, action: str, said: dict[str, str], more: Mapping[str, str] | None = None
) -> Change:
    """Return the change; `more` are changes outside the row."""
    if more and action == UNCHANGED:
        action = CHANGED
    return Change(kind, name, action, said | dict(more or {}))
