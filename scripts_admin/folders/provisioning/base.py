"""What all accounts stand on: the group, the server's and the scripts' accounts, sshd, limits, the list of accounts."""

import grp
import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from django.conf import settings

from n2wbackup.lib import home
from scripts_admin.domain import linux_register
from scripts_admin.domain.linux_register import Kind, Ours
from scripts_admin.folders.provisioning import admitting, commands, machine, session
from scripts_admin.folders.provisioning.commands import (
    Command,
    ProvisionError,
    Step,
    file_step,
    holds,
)
from scripts_admin.folders.provisioning.machine import Machine

_ROOT_MODE = 0o711
_NOLOGIN = "/usr/sbin/nologin"
LAUNCHER = Path("deploy/launcher/install")  # below the checkout; it installs what starts scripts


def accounts(on: Machine, server: Ours, shared: Ours) -> list[Step]:
    """Return the steps for the group, the two accounts and the folder of all scripts."""
    _check(server, shared)
    group = on.places.group
    gid = machine.free_system_id({server.uid, server.gid, shared.uid, shared.gid})
    root = on.scripts_root
    return [
        Step(
            f"the group {group}",
            lambda: machine.gid_of(group) is not None,
            (Command(("groupadd", "--system", "--gid", str(gid), group)),),
        ),
        *account(server, ("--no-create-home", "--home-dir", "/nonexistent"), _NOLOGIN, "n2wbackup"),
        *account(
            shared,
            ("--create-home", "--home-dir", f"{on.places.homes}/{shared.name}"),
            "/bin/bash",
            "scripts of n2wbackup",
        ),
        Step(
            f"{server.name} is in the group {shared.name}",
            lambda: machine.is_member(server.name, shared.name),
            (Command(("usermod", "--append", "--groups", shared.name, server.name)),),
        ),
        Step(
            f"the folder {root}",
            lambda: os.path.isdir(root),  # noqa: PTH112 - commands take text
            (
                Command(
                    ("install", "-d", f"--mode={_ROOT_MODE:04o}", f"--owner={server.name}", root)
                ),
            ),
        ),
    ]


def account(wanted: Ours, home: tuple[str, ...], shell: str, words: str) -> list[Step]:
    """Return the steps that make the account, with a group of its own and no password."""
    name, system = wanted.name, () if wanted.kind == Kind.TENANT else ("--system",)
    make = Command(
        (
            "useradd",
            *system,
            "--uid",
            str(wanted.uid),
            "--gid",
            str(wanted.gid),
            *home,
            "--key",
            "HOME_MODE=0700",
            "--shell",
            shell,
            "--password",
            "*",
            "--comment",
            words,
            name,
        )
    )
    return [
        Step(
            f"the group {name}",
            lambda: machine.uid_of(name) is not None or machine.gid_of(name) is not None,
            (Command(("groupadd", *system, "--gid", str(wanted.gid), name)),),
        ),
        Step(f"the account {name}", lambda: machine.uid_of(name) is not None, (make,)),
    ]


def _check(server: Ours, shared: Ours) -> None:
    if 0 in (server.uid, shared.uid):
        raise ProvisionError(
            "Scripts and the server must not run as root: name an ordinary account in N2W_SCRIPT_USER."
        )
    if server.name == shared.name:
        raise ProvisionError(
            f"Scripts run as {shared.name}, which is the server's own account, and could read its secrets: name "
            "another account in N2W_SCRIPT_USER."
        )
    try:
        group = grp.getgrgid(pwd.getpwnam(shared.name).pw_gid)
    except KeyError:  # not made yet
        return
    others = sorted(set(group.gr_mem) - {shared.name, server.name})
    if group.gr_name != shared.name or others:
        who = f", to which {', '.join(others)} belong" if others else ""
        raise ProvisionError(
            f"The first group of {shared.name} is {group.gr_name}{who}; it may read all scripts, so it must be a group "
            f"of {shared.name} alone: correct that with groupadd, usermod and gpasswd, and run this again."
        )


def ssh_tools(on: Machine) -> list[Step]:
    """Return the steps that install what sshd asks for keys, and what a session over SSH runs in."""
    return [
        _tool("the program that tells sshd the keys", admitting, on.places.keys),
        _tool("the sessions' program", session, on.places.session),
    ]


def _tool(title: str, module: ModuleType, path: str) -> Step:
    source = str(Path(module.__file__ or "").resolve())
    text = commands.reads(source)
    owner = ("--owner=root", "--group=root")
    install = Command(("install", "-D", "--mode=0755", *owner, source, path))
    return Step(title, lambda: holds(path, text, 0o755), (install,))


def limits(on: Machine, accounts: Mapping[str, Ours]) -> list[Step]:
    """Return the steps that limit what sessions of the accounts may use; the launcher limits scripts."""
    limited = [each for each in accounts.values() if each.kind != Kind.SERVER]
    lines = [line for each in sorted(limited, key=lambda a: a.name) for line in _limit_lines(each)]
    text = "# Written by provision_user, from its list of accounts.\n" + "".join(lines)
    found = [file_step("the limits of sessions", on.places.limits, text)]
    if commands.systemd_runs():
        reload = Command(("systemctl", "daemon-reload"))
        found += [
            file_step(
                f"the limits of all sessions of {each.name} together",
                on.places.slice_of(each.uid),
                f"[Slice]\nMemoryMax={each.limits.memory}\nTasksMax={each.limits.processes}\n",
                reload,
            )
            for each in limited
            if each.kind == Kind.TENANT
        ]
    return found


def _limit_lines(account: Ours) -> list[str]:
    limits = account.limits
    kilobytes = {"data": limits.memory // 1024, "fsize": limits.file_size // 1024}
    numbers = {"nproc": limits.processes, "nofile": limits.files}
    return [f"{account.name} - {word} {value}\n" for word, value in (numbers | kilobytes).items()]


def sshd(on: Machine) -> list[Step]:
    """Return the steps for the drop-in of sshd, which `sshd -t` judges before sshd reads it."""
    program = commands.program("sshd")
    if program is None:
        return []
    path = on.places.sshd_drop_in
    judge = Command((program, "-t", "-f", on.places.sshd))
    step = file_step("the drop-in of sshd", path, drop_in(on), judge, *_reload(on))
    return [Step(step.title, step.is_done, step.commands, (Command(("rm", "--force", path)),))]


def _reload(on: Machine) -> tuple[Command, ...]:
    if not commands.systemd_runs() or on.places.prefix:
        return ()
    for unit in ("ssh.service", "sshd.service"):
        if commands.answer("systemctl", "is-active", unit) is not None:
            return (Command(("systemctl", "reload", unit)),)
    return ()


def drop_in(on: Machine) -> str:
    """Return what sshd reads: people who write scripts come by key alone, and nothing is forwarded for them."""
    session = f"{on.places.session} {on.scripts_root} {on.places.accounts}"
    keys = f"{on.places.keys} {home.ssh_logins()} {on.places.accounts} %u"
    return f"""\
# Written by provision_user.
Match Group {on.places.group}
    AuthenticationMethods publickey
    PubkeyAuthentication yes
    PasswordAuthentication no
    KbdInteractiveAuthentication no
    HostbasedAuthentication no
    PermitEmptyPasswords no
    # The keys in ~/.ssh/authorized_keys, if the server has not deactivated the user.
    AuthorizedKeysFile none
    AuthorizedKeysCommand {keys}
    AuthorizedKeysCommandUser root
    DisableForwarding yes
    AllowTcpForwarding no
    AllowStreamLocalForwarding no
    AllowAgentForwarding no
    X11Forwarding no
    GatewayPorts no
    PermitTunnel no
    PermitUserRC no
    # What they write is opened to the server and to the scripts' account when the session ends.
    ForceCommand {session}
Match User {on.shared}
    ForceCommand {session}
"""


def sshd_problem(on: Machine, name: str) -> str:
    """Return a sentence if sshd would not treat this account as the drop-in says; nothing where that is unknown."""
    program = commands.program("sshd")
    if program is None:
        return "No sshd is installed, so nobody can log in over SSH: install openssh-server, and run this again."
    said = commands.answer(
        program, "-T", "-f", on.places.sshd, "-C", f"user={name},host=localhost,addr=127.0.0.1"
    )
    wanted = {
        "authenticationmethods publickey",
        "disableforwarding yes",
        "passwordauthentication no",
        "authorizedkeysfile none",
    }
    if said is None or wanted <= set(said.splitlines()):
        return ""
    return (
        f"sshd does not read {on.places.sshd_drop_in} for {name}: write "
        f"`Include {os.path.dirname(on.places.sshd_drop_in)}/*.conf` as the first line of {on.places.sshd}, and "  # noqa: PTH120
        "run this again."
    )


def register(on: Machine, accounts: Mapping[str, Ours]) -> list[Step]:
    """Return the step that writes the list of accounts, which the launcher believes."""
    text = linux_register.written(accounts)
    return [file_step("the list of accounts", on.places.accounts, text)]


def launcher(on: Machine) -> list[Step]:
    """Return the step that installs the launcher, where this checkout has one; again after each change of it."""
    script = Path(settings.BASE_DIR) / LAUNCHER
    if not script.is_file() or on.places.prefix:
        return []
    program = Path(on.places.launcher)

    def is_done() -> bool:
        newest = max(each.stat().st_mtime for each in script.parent.rglob("*"))
        return program.is_file() and program.stat().st_mtime >= newest

    return [Step("the launcher of scripts", is_done, (Command((str(script), on.server)),))]
