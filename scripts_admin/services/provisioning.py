"""Linux accounts for the rows of users: what `provision_user` does, and why it refuses.

Only root can carry the steps out; everyone may read them. Each is looked at first, so doing all of it again changes
nothing.
"""

import fcntl
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.domain.linux_register import Kind as Account
from scripts_admin.domain.linux_register import Ours
from scripts_admin.domain.shown import shown
from scripts_admin.folders.provisioning import (
    base,
    commands,
    departing,
    keys,
    machine,
    network,
    profile,
    quota,
    tenants,
)
from scripts_admin.folders.provisioning.commands import ProvisionError, Step
from scripts_admin.folders.provisioning.machine import Machine
from scripts_admin.models import FormerFolder, User
from scripts_admin.services import audit, folders, ssh_logins
from scripts_admin.services.audit import Subject
from scripts_admin.services.folders import UserNameError

Tell = Callable[[str], None]
# Returns a sentence if scripts of the user's folder may be running just now: then the account is not locked.
Busy = Callable[[str], str]


def never_busy(_: str) -> str:
    return ""


@dataclass
class Work:
    """What one call does. `problems` need somebody, and `notes` are for whoever reads them.

    `has_rows` False: there is no database yet. Then only what needs no user is made.
    """

    tell: Tell
    dry_run: bool = False
    has_rows: bool = True
    count: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def provide(name: str, work: Work, key_file: Path | None = None) -> None:
    """Make the user's account, or mend it. ProvisionError: the sentence says why not."""
    person = _row(name)
    if not person.is_active:
        raise ProvisionError(
            f"{name} is deactivated: reactivate the user first, or lock the account with --remove."
        )
    given = keys.of_file(key_file) if key_file else {}
    with _alone(work):
        _provide(machine.found(), [person], work, given)


def remove(name: str, work: Work, busy: Busy = never_busy) -> None:
    """Lock the user's account, and end what it runs. Its files stay."""
    _check_name(name)
    with _alone(work):
        on = machine.found()
        account = on.register.get(name)
        if account is None or account.kind != Account.TENANT:
            raise ProvisionError(
                f"There is no Linux account {name} of ours, so nothing was locked."
            )
        _lock(on, account, work, busy)


def departed(work: Work, busy: Busy = never_busy) -> None:
    """Lock the accounts of all who are no active users, and make none. Units of systemd's call this."""
    with _alone(work):
        if not work.has_rows or not User.objects.exists():
            raise ProvisionError(
                "The database has no users, so no account was locked: check that DATABASE_URL or N2W_HOME of this "
                "command is the server's."
            )
        wanted = User.objects.filter(is_active=True, is_superuser=False)
        _lock_others(machine.found(), set(wanted.values_list("username", flat=True)), work, busy)


def _lock_others(on: Machine, wanted: Collection[str], work: Work, busy: Busy) -> Machine:
    """Lock our accounts but those of `wanted`, and return the machine as it is then. A failure stops no other."""
    for account in on.register.values():
        if account.kind == Account.TENANT and account.name not in wanted:
            try:
                on = _lock(on, account, work, busy)
            except ProvisionError as error:
                work.problems.append(str(error))
    return on


def follow(work: Work, busy: Busy = never_busy) -> None:
    """Lock the accounts of all who are no active users, and make one for each who is. A failure stops no other."""
    with _alone(work):
        if not work.has_rows:
            work.notes.append(
                "There is no database yet, so only what all accounts need was made: run this again when users exist."
            )
            _provide(machine.found(), [], work, {})
            return
        people = [
            person
            for person in User.objects.filter(is_active=True, is_superuser=False).order_by(
                "username"
            )
            if _takes(person, work)
        ]
        wanted = {person.username for person in people}
        on = _lock_others(machine.found(), wanted, work, busy)
        _provide(on, people, work, {})


def _takes(person: User, work: Work) -> bool:
    try:
        _row(person.username)
    except ProvisionError as error:
        work.problems.append(str(error))
        return False
    return True


def _row(name: str) -> User:
    """Return the user's row; ProvisionError if it is none that gets an account."""
    _check_name(name)
    person = User.objects.filter(username=name).first()
    if person is None:
        raise ProvisionError(
            f"There is no user {name}: create the user first, then run this again."
        )
    if person.is_superuser:
        raise ProvisionError(
            f"{name} is a superuser, whose scripts are in root's folder: over SSH, root and the scripts' account edit "
            "them, and no account is made."
        )
    uid = machine.uid_of(name)
    if uid is not None and not machine.is_ours(machine.register().get(name)):
        raise ProvisionError(
            f"The Linux account {name} (uid {uid}) exists, and provision_user did not make it, so nothing was changed: "
            "remove it, or create another user."
        )
    if uid is not None and FormerFolder.objects.filter(name=name, linux_uid=uid).exists():
        raise ProvisionError(
            f"The Linux account {name} (uid {uid}) was the account of a deleted user, whose files and keys its home "
            f"holds, so nothing was changed: run userdel --remove {name}, and run this again."
        )
    return person


def _check_name(name: str) -> None:
    try:
        folders.check_user_name(name)
    except UserNameError as error:
        raise ProvisionError(shown(str(error))) from None


def _provide(on: Machine, people: Iterable[User], work: Work, given: Mapping[str, str]) -> None:
    server, shared, register = _base(on, work)
    before = dict(on.register)
    on = replace(on, server=server.name, register=register)
    _do(base.accounts(on, server, shared) + base.ssh_tools(on), work)
    for person in people:
        try:
            account = _account(register, person.username, _taken(on, work), given)
            if machine.uid_of(account.name) is None:
                # Listed first, and locked: if this fails half-way, the next time knows that the account is ours.
                pending = register | {account.name: replace(account, is_locked=True)}
                _do(base.register(on, pending), work)
            _do(tenants.made(on, account, given), work)
        except ProvisionError as error:
            work.problems.append(str(error))
        else:
            register[account.name] = account
    _finish(on, register, work)
    _tell_audit(before, register, work)
    if any(each.kind == Account.TENANT for each in register.values()):
        note = quota.missing(on.scripts_root)
        work.notes += [note] if note else []


def _base(on: Machine, work: Work) -> tuple[Ours, Ours, dict[str, Ours]]:
    """Return the server's account, the scripts' account and all that are ours, as they will be."""
    register = {name: each for name, each in on.register.items() if machine.is_ours(each)}
    taken = _taken(on, work)
    server = machine.as_it_is(on.server, Account.SERVER, taken, on.register.get(on.server))
    taken.add(server.uid)
    shared = machine.as_it_is(on.shared, Account.SHARED, taken, on.register.get(on.shared))
    # One server and one account for scripts: another one of before is ours no longer.
    register = {name: each for name, each in register.items() if each.kind == Account.TENANT}
    return server, shared, register | {server.name: server, shared.name: shared}


def _account(
    register: Mapping[str, Ours], name: str, taken: set[int], given: Mapping[str, str]
) -> Ours:
    taken = taken | {each.uid for each in register.values()}
    account = machine.as_it_is(name, Account.TENANT, taken, register.get(name))
    return replace(account, is_locked=False, keys=tuple(dict.fromkeys((*account.keys, *given))))


def _taken(on: Machine, work: Work) -> set[int]:
    """Return the ids that nobody gets: a deleted user's files would be a new user's."""
    if not work.has_rows:
        return {each.uid for each in on.register.values()}
    former = FormerFolder.objects.exclude(linux_uid=None).values_list("linux_uid", flat=True)
    return {each.uid for each in on.register.values()} | {uid for uid in former if uid is not None}


def _finish(on: Machine, register: Mapping[str, Ours], work: Work) -> None:
    """Do what depends on all accounts. The list comes last: scripts run as what is on it."""
    listed = {name: replace(each, has_sudo=_has_sudo(each)) for name, each in register.items()}
    uids = sorted(each.uid for each in listed.values() if each.kind != Account.SERVER)
    _do(network.steps(on.places, uids), work)
    if commands.program("nft") is None:
        work.problems.append(network.NO_NFT)
    _admit(work)
    _do(base.sshd(on) + base.limits(on, listed) + profile.steps(on), work)
    _do(base.register(on, listed) + base.launcher(on) + departing.steps(on), work)
    tenants_of_it = [each.name for each in listed.values() if each.kind == Account.TENANT]
    if tenants_of_it and not work.dry_run:
        problem = base.sshd_problem(on, tenants_of_it[0])
        work.problems += [problem] if problem else []


def _admit(work: Work) -> None:
    """Write down for sshd who may come in: from its next login on, it lets in nobody else."""
    if not work.dry_run and work.has_rows and ssh_logins.write():
        work.count += 1
        work.tell("done: the list of those whom sshd lets in")


def _has_sudo(account: Ours) -> bool:
    """Tell whether the account may run something with sudo: then the launcher lets its scripts gain rights."""
    if account.kind == Account.SERVER or machine.uid_of(account.name) is None:
        return False
    if os.geteuid() != 0:
        return account.has_sudo
    said = commands.answer("sudo", "-n", "-l", "-U", account.name)
    return said is not None and "may run" in said


def _lock(on: Machine, account: Ours, work: Work, busy: Busy) -> Machine:
    """Lock the account, and return the machine as it is then.

    A window that opened in the last moment is let go on: nothing stays frozen for this.
    """
    _refuse_busy(account, busy)
    locked = replace(account, is_locked=True)
    _do(base.register(on, on.register | {account.name: locked}), work)
    try:
        _refuse_busy(account, busy)
    except ProvisionError:
        _do(base.register(on, on.register), work)
        raise
    if machine.is_ours(account):
        _do(tenants.locked(account), work)
    after = replace(on, register=on.register | {account.name: locked})
    _tell_audit(on.register, after.register, work)
    return after


def _refuse_busy(account: Ours, busy: Busy) -> None:
    sentence = busy(account.name)
    if sentence:
        raise ProvisionError(sentence)


def _do(steps: Iterable[Step], work: Work) -> None:
    work.count += commands.carry_out(steps, work.tell, dry_run=work.dry_run)


def _tell_audit(before: Mapping[str, Ours], after: Mapping[str, Ours], work: Work) -> None:
    if work.dry_run:
        return
    for name, account in after.items():
        was = before.get(name)
        old, new = (_state(each) for each in (was, account))
        if old != new and account.kind == Account.TENANT:
            owner = User.objects.filter(username=name).values_list("pk", flat=True).first()
            subject = Subject(Kind.FOLDER, name, owner_id=owner)
            audit.record(Action.CHANGED, subject, [Change("Linux account", old, new)])


def _state(account: Ours | None) -> str:
    if account is None:
        return ""
    given = f", {len(account.keys)} SSH keys" if account.keys else ""
    return f"uid {account.uid}, {'locked' if account.is_locked else 'open'}{given}"


@contextmanager
def _alone(work: Work) -> Iterator[None]:
    """Let nobody else change accounts meanwhile. ProvisionError if this is not root."""
    if work.dry_run:
        yield
        return
    if os.geteuid() != 0:
        raise ProvisionError(
            "Only root can change Linux accounts: run this with sudo, or look with --dry-run."
        )
    place = Path(machine.found().places.lock)
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with place.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
