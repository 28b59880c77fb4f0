"""How each Linux account is, as far as this process can see: what is right, what is not, and what mends it.

The pages are no root: what only root can see is `UNKNOWN` to them. `provision_user --all --dry-run` as root says it.
"""

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings

from scripts_admin.domain.linux_register import Kind, Ours
from scripts_admin.domain.shown import shown
from scripts_admin.folders.provisioning import (
    admitting,
    base,
    commands,
    machine,
    network,
    session,
    tenants,
)
from scripts_admin.folders.provisioning.commands import holds, reads
from scripts_admin.folders.provisioning.machine import Machine


class Fact(StrEnum):
    """The answer to one question."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AccountState:
    """One user's account. `problems` are sentences; `mend` is what root runs, and is empty if nothing is to do."""

    name: str
    is_wanted: bool  # an active user, who has a folder
    uid: int | None
    is_ours: bool
    is_locked: bool
    keys: tuple[str, ...]
    folder: str
    has_right_folder: bool
    has_rule: Fact
    problems: tuple[str, ...]
    mend: str


@dataclass(frozen=True, slots=True)
class MachineState:
    """What all accounts share; `problems` as above."""

    was_provisioned: bool
    server: str
    shared: str
    has_drop_in: bool
    has_rules_file: bool
    rules_are_loaded: Fact
    problems: tuple[str, ...]
    mend: str


def command(*arguments: str) -> str:
    """Return what root types, in the server's environment."""
    return shlex.join((f"{settings.BASE_DIR}/n2w", "provision_user", *arguments))


def of_machine(on: Machine) -> MachineState:
    uids = _uids(on)
    drop_in = holds(on.places.sshd_drop_in, base.drop_in(on))
    rules = holds(on.places.rules, network.rules(on.places, uids))
    loaded = _loaded(on, uids)
    problems = tuple(_of_machine(on, drop_in=drop_in, rules=rules, loaded=loaded))
    mend = command("--all") if problems else ""
    return MachineState(
        bool(on.register), on.server, on.shared, drop_in, rules, loaded, problems, mend
    )


def _of_machine(on: Machine, *, drop_in: bool, rules: bool, loaded: Fact) -> Iterable[str]:
    if not on.register:
        return
    for name in (on.server, on.shared):
        if not machine.is_ours(on.register.get(name)):
            yield f"The Linux account {name} is missing, or another one than provision_user made."
    if not drop_in:
        yield f"{on.places.sshd_drop_in} is missing or changed, so sshd may let accounts do more than write scripts."
    elif not _includes(on):
        yield f"{on.places.sshd} has no Include for {on.places.sshd_drop_in}, so sshd does not read it."
    if not holds(on.places.keys, commands.reads(str(admitting.__file__)), 0o755):
        yield f"{on.places.keys} is missing or changed; sshd asks it for keys, so nobody may be able to log in."
    if not rules:
        yield f"{on.places.rules} is missing or does not name every account, so scripts may reach the metadata service."
    if loaded == Fact.NO:
        yield "The kernel does not have the rules against the metadata service: scripts can get the server's role."


def _includes(on: Machine) -> bool:
    """Tell whether sshd reads the drop-in, as far as its configuration can be read."""
    text = reads(on.places.sshd)
    folder = os.path.dirname(on.places.sshd_drop_in)  # noqa: PTH120 - a str of places
    return not text or any(
        line.split()[:1] == ["Include"] and folder in line for line in text.splitlines()
    )


def _loaded(on: Machine, uids: list[int]) -> Fact:
    if not on.register:
        return Fact.NO
    if os.geteuid() == 0:
        return Fact.YES if network.in_kernel(on.places, uids) else Fact.NO
    if not commands.systemd_runs() or on.places.prefix:
        return Fact.UNKNOWN
    active = commands.answer("systemctl", "is-active", "n2w-firewall.service") is not None
    return Fact.UNKNOWN if active else Fact.NO


def _uids(on: Machine) -> list[int]:
    return sorted(each.uid for each in on.register.values() if each.kind != Kind.SERVER)


def of_account(on: Machine, name: str, *, is_wanted: bool) -> AccountState:
    """Return the state of the account that the user has, or should have."""
    made, uid = on.register.get(name), machine.uid_of(name)
    ours = made is not None and made.kind == Kind.TENANT and machine.is_ours(made)
    locked = ours and made is not None and made.is_locked and tenants.is_locked(name)
    right = ours and made is not None and not tenants.folder_problem(on, made)
    problems = list(_of_account(on, name, uid, made if ours else None, is_wanted=is_wanted))
    rule = Fact.NO
    if ours and str(uid) in reads(on.places.rules).replace(",", " ").split():
        rule = _loaded(on, _uids(on))
    mend = ""
    if problems or (is_wanted and uid is None):
        mend = command(name) if is_wanted else command(name, "--remove")
    if uid is not None and not ours:
        mend = ""
    keys = made.keys if ours and made is not None else ()
    return AccountState(
        name,
        is_wanted,
        uid,
        ours,
        locked,
        keys,
        on.folder(name),
        right,
        rule,
        tuple(problems),
        mend,
    )


def _of_account(
    on: Machine, name: str, uid: int | None, ours: Ours | None, *, is_wanted: bool
) -> Iterable[str]:
    if uid is None:
        return
    if ours is None:
        yield (
            f"The Linux account {name} (uid {uid}) exists, and provision_user did not make it: remove it, or "
            "create another user."
        )
        return
    locked = tenants.is_locked(name)
    if not is_wanted:
        if not (ours.is_locked and locked):
            yield (
                "The user is deactivated, deleted or a superuser. sshd lets nobody in as the account any more, but it "
                "is not locked yet, so what it runs goes on."
            )
        left = tenants.running(ours.uid)
        if left:
            yield f"Processes of the locked account go on: {', '.join(map(str, left[:5]))}."
        return
    if locked or ours.is_locked:
        yield "The account is locked, and the user is active."
    if not machine.is_member(name, on.places.group):
        yield f"The account is not in the group {on.places.group}, so sshd does not restrict it."
    wrong = tenants.folder_problem(on, ours)
    if wrong:
        yield f"{wrong}."
    closed = session.closed_in(on.folder(name)) if not wrong else []
    if closed:
        yield f"The server or the scripts' account may not use {_first(closed)} as the owner may."


def _first(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004 - as many as a line holds
    return ", ".join(map(shown, names[:3])) + more
