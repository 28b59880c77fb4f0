"""People write scripts over SSH, with real accounts and a real sshd, and reach nothing of one another."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_django import Settings

from n2wbackup.lib import home
from policies.adapters import broker, session
from policies.adapters.memory import MemoryCloud
from policies.domain.runs.sequence import State
from scripts_admin import linux_accounts
from scripts_admin.domain.linux_register import Kind
from scripts_admin.folders import looking, writing
from scripts_admin.folders.provisioning import machine, network, tenants
from scripts_admin.folders.provisioning.commands import ProvisionError
from scripts_admin.models import AuditEntry, Folder, User
from scripts_admin.services import folders, people, provisioning, scripts
from scripts_admin.services.provisioning import Work
from tests.factories import PolicyFactory, PolicyTargetFactory, UserFactory
from tests.ground import linux_people, processes
from tests.ground.linux_people import Door, Town
from tests.policies.services.backup import Backup

pytestmark = [pytest.mark.real, pytest.mark.django_db, pytest.mark.lasts(10)]

BEFORE = "#!/bin/bash\necho before >> marks\nid -un >> marks\n"
AFTER = "#!/bin/bash\necho after >> marks\n"


@pytest.fixture(scope="module")
def one_town() -> Iterator[Town]:
    with linux_people.town() as there:
        yield there
        shutil.rmtree(home.runtime_of(there.home), ignore_errors=True)


@pytest.fixture
def town(one_town: Town, settings: Settings) -> Town:
    """Give the town; its accounts stay from test to test, and the rows of their users are made in each."""
    one_town.settings(settings)
    return one_town


def test_two_people_write_over_ssh_and_neither_reaches_the_other(town: Town) -> None:
    one, two = _made(town, "one", "two")
    own, others = town.scripts / one, town.scripts / two

    with linux_people.door(town) as door:
        # By key, and to the own folder.
        said = door.ssh(
            one,
            "cd scripts/ && cat > before_p.sh && chmod +x before_p.sh && ./before_p.sh",
            stdin=BEFORE,
        )
        assert (said.returncode, said.stderr) == (0, "")
        assert (own / "marks").read_text().split() == ["before", one]
        assert (
            door.ssh(
                two, "cat > scripts/before_p.sh; chmod 755 scripts/before_p.sh", stdin=AFTER
            ).returncode
            == 0
        )
        # Nothing of anybody else's, and no list of who is there.
        for command in (
            f"ls {others}",
            f"cat {others}/before_p.sh",
            f"{others}/before_p.sh",
            f"echo x > {others}/new",
            f"echo x >> {others}/before_p.sh",
            f"rm {others}/before_p.sh",
            f"ls {town.scripts}",
            f"ls {town.home}/homes/{two}",
            f"ls {town.home}/secrets {town.home}",
        ):
            said = door.ssh(one, command)
            assert said.returncode != 0, command
            assert "denied" in said.stderr.lower() or "No such file" in said.stderr, said.stderr
        assert [each.name for each in others.iterdir()] == ["before_p.sh"]
        assert (others / "before_p.sh").read_text() == AFTER
        _is_restricted(door, one)


def _is_restricted(door: Door, person: str) -> None:
    """Check that no password opens the account, and that nothing is forwarded."""
    subprocess.run(["chpasswd"], input=f"{person}:correct horse", text=True, check=True)
    by_password = (
        "-o",
        "PreferredAuthentications=password,keyboard-interactive",
        "-o",
        "PubkeyAuthentication=no",
    )
    refused = door.ssh(person, "id", *by_password)
    assert refused.returncode == 255
    assert refused.stderr.strip().endswith("Permission denied (publickey).")
    elsewhere = door.ssh(door.town.server, "id", "-i", str(door.town.key(person)))
    assert "Permission denied (publickey,password" in elsewhere.stderr, (
        "sshd itself allows passwords"
    )
    port = processes.free_port()
    tunnel = door.ssh(
        person, "true", "-o", "ExitOnForwardFailure=yes", "-R", f"127.0.0.1:{port}:127.0.0.1:9"
    )
    assert tunnel.returncode == 255
    assert "remote port forwarding failed" in tunnel.stderr
    assert "SSH_AUTH_SOCK" not in door.ssh(person, "env", "-A").stdout


def test_what_comes_by_scp_can_be_used_by_server_owner_and_scripts_account(town: Town) -> None:
    (one,) = _made(town, "one")
    key = linux_people.keyed(town, town.shared).read_text()
    put = "mkdir -m 700 ~/.ssh; cat > ~/.ssh/authorized_keys"
    linux_people.as_account(town.shared, "sh", "-c", put, stdin=key)
    own, modes = town.scripts / one, (0o644, 0o700, 0o600)

    with linux_people.door(town) as door:
        for mode in modes:
            source = town.home / f"before_p{mode:o}.sh"
            source.write_text(BEFORE)
            source.chmod(mode)
            for who, name in ((one, "before"), (town.shared, "after"), (one, "key")):
                target = own / (f"{name}_p{mode:o}.sh" if name != "key" else f"key{mode:o}")
                assert door.scp(who, source, str(target)).returncode == 0

    for account in (town.server, town.shared, one):
        for mode in modes:
            for name in (f"before_p{mode:o}.sh", f"after_p{mode:o}.sh"):
                use = f"head -1 {name} && echo x >> {name} && test -{'x' if mode & 0o100 else 'w'} {name}"
                used = linux_people.as_account(account, "sh", "-c", f"cd {own} && {use}")
                assert (used.returncode, used.stdout) == (0, "#!/bin/bash\n"), (account, name)
    # A private key must be its owner's alone: what has no right for a group, and is no script, stays closed.
    closed = [
        linux_people.as_account(town.shared, "cat", str(own / f"key{mode:o}")).returncode
        for mode in modes
    ]
    assert closed == [0, 0, 1]


def test_a_script_from_ssh_runs_in_the_next_backup_and_the_browsers_is_edited_over_ssh(
    town: Town, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = _made(town, "one")
    backup = _backup(one, monkeypatch)
    own = town.scripts / one
    (own / "marks").unlink(missing_ok=True)

    with linux_people.door(town) as door:
        for name, text in (("before_p.sh", BEFORE), ("after_p.sh", AFTER)):
            written = door.ssh(one, f"cat > scripts/{name}; chmod +x scripts/{name}", stdin=text)
            assert written.returncode == 0
        settings.N2W_RUN_SCRIPTS_AS = "cpmuser"
        with _server_is_root(town):
            run = backup.to_end()
        assert (run.state, run.reason) == (State.SUCCEEDED, "")
        assert (own / "marks").read_text().split() == ["before", town.shared, "after"]

        # In the other mode the folder stays as it is, too.
        settings.N2W_RUN_SCRIPTS_AS = "owner"
        with _server_is_root(town):
            account = linux_accounts.script_account(backup.policy.folder).identity
            group = linux_accounts.own_group(backup.policy.folder, account)
            folders.ready(backup.policy.folder, group)
        assert account.name == one
        assert tenants.folder_problem(machine.found(), machine.register()[one]) == ""

        # The server saves it, the person changes it, the server saves it again.
        saved = BEFORE + "echo saved >> marks\n"
        linux_people.does(town.server, lambda: _saved(backup.policy.folder, saved))
        edited = door.ssh(one, "echo 'echo edited >> marks' >> scripts/before_p.sh")
        assert (edited.returncode, edited.stderr) == (0, "")
        again = linux_people.as_account(town.server, "cat", str(own / "before_p.sh")).stdout
        again += "echo again >> marks\n"
        with _server_is_root(town):
            version = _version(backup.policy.folder)
            new = scripts.Text("before_p.sh", again.encode(), opened=version)
            scripts.save(backup.policy.folder, new, actor=backup.policy.owner)
        assert door.ssh(one, "sed -i s/again/last/ scripts/before_p.sh").returncode == 0
        assert door.ssh(one, "cd scripts; rm marks; ./before_p.sh").returncode == 0

    assert (own / "marks").read_text().split() == ["before", one, "saved", "edited", "last"]
    run_by = linux_people.as_account(town.shared, "sh", "-c", f"cd {own} && ./before_p.sh")
    assert run_by.returncode == 0, run_by.stderr


def test_a_locked_account_lets_nobody_in_runs_nothing_and_keeps_its_files(town: Town) -> None:
    (one,) = _made(town, "three")
    uid = machine.register()[one].uid
    work = Work(lambda _: None)

    with linux_people.door(town) as door:
        # A hostile one that is told nothing by a signal, and forks on.
        hidden = "trap '' HUP TERM INT; while :; do sleep 1000 & sleep 0.1; done"
        door.ssh(
            one,
            f'echo x > scripts/kept; setsid sh -c "{hidden}" >/dev/null 2>&1 </dev/null & exit 0',
        )
        processes.wait_until(lambda: len(tenants.running(uid)) > 2, seconds=30, what="it runs")

        with pytest.raises(ProvisionError, match="at work"):
            provisioning.remove(one, work, lambda _: "Scripts of it are at work.")
        assert not machine.register()[one].is_locked
        assert tenants.running(uid)

        provisioning.remove(one, work)

        assert machine.register()[one].is_locked
        assert tenants.running(uid) == []
        assert door.ssh(one, "id").returncode != 0
        assert (town.scripts / one / "kept").read_text() == "x\n"

        provisioning.provide(one, work)
        assert door.ssh(one, "cat scripts/kept").stdout == "x\n"

    again = Work(lambda _: None)
    provisioning.provide(one, again)
    assert again.count == 0, "a second time changes nothing"
    states = [each.changes for each in AuditEntry.objects.filter(label=one, action="changed")]
    assert ["open" in str(states[0]), "locked" in str(states[1])] == [True, True]


@pytest.mark.django_db(transaction=True)
def test_who_is_deactivated_is_refused_at_the_next_login_and_nobody_has_to_do_anything(
    town: Town,
) -> None:
    one, two = _made(town, "one", "two")
    boss = UserFactory.create(is_superuser=True)
    person = User.objects.get(username=one)

    with linux_people.door(town) as door:
        assert door.ssh(one, "id -un").stdout.strip() == one

        people.deactivate(person, boss)

        refused = door.ssh(one, "id")
        assert (refused.returncode, refused.stdout) == (255, "")
        assert "Permission denied (publickey)" in refused.stderr
        assert door.ssh(two, "id -un").stdout.strip() == two
        # The account itself is locked later, by root: then nothing of it is left.
        assert not machine.register()[one].is_locked
        provisioning.departed(work := Work(lambda _: None))
        assert (work.problems, machine.register()[one].is_locked) == ([], True)
        assert not machine.register()[two].is_locked

        people.reactivate(person, boss)
        assert linux_people.provided(town, one).problems == []
        assert door.ssh(one, "id -un").stdout.strip() == one
        # Nobody comes in when nobody knows who may.
        home.ssh_logins().unlink()
        assert door.ssh(one, "id").returncode == 255


def test_what_an_account_puts_in_the_way_leads_root_nowhere(town: Town) -> None:
    one, two = _made(town, "one", "two")
    own, others = town.home / "homes" / one, town.home / "homes" / two
    keys = others / ".ssh/authorized_keys"
    before = (keys.read_text(), (town.scripts / two).stat().st_ctime_ns)
    # Links in the home and in the folder to what belongs to somebody else; and a hard link, which the kernel refuses.
    command = (
        f"mv ~/.ssh ~/.kept; ln -s {others}/.ssh ~/.ssh; ln -s {town.scripts / two} ~/scripts/way; "
        f"ln -s {keys} ~/scripts/before_q.sh; ln {keys} ~/scripts/after_q.sh; true"
    )
    linux_people.as_account(one, "sh", "-c", command)
    work = Work(lambda _: None)

    provisioning.provide(one, work, linux_people.keyed(town, "another"))

    assert [f"the SSH keys of {one}: " in each for each in work.problems] == [True]
    assert (keys.read_text(), (town.scripts / two).stat().st_ctime_ns) == before
    assert keys.stat().st_uid == machine.register()[two].uid
    linux_people.as_account(
        one, "sh", "-c", "rm ~/.ssh ~/scripts/way ~/scripts/*_q.sh; mv ~/.kept ~/.ssh"
    )
    assert not (own / ".ssh").is_symlink()


SERVICE = """
import socket, sys, threading
for family, address in ((socket.AF_INET, "169.254.169.254"), (socket.AF_INET6, "fd00:ec2::254")):
    listener = socket.create_server((address, 80), family=family)
    answer = lambda one=listener: [one.accept()[0].sendall(b"role") for _ in iter(int, 1)]
    threading.Thread(target=answer, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
ASK = """
import socket
for address in ("169.254.169.254", "fd00:ec2::254"):
    try:
        with socket.create_connection((address, 80), timeout=20) as found:
            print(found.recv(4).decode())
    except OSError as error:
        print(type(error).__name__)
"""


def test_scripts_do_not_reach_the_metadata_service_and_the_server_does(town: Town) -> None:
    """All in a network of its own, where this machine itself has the addresses."""
    (one,) = _made(town, "one")
    made = machine.register().values()
    assert network.in_kernel(town.places, [each.uid for each in made if each.kind != Kind.SERVER])
    asking = " ".join(
        f"setpriv --reuid={who} --regid={who} --init-groups {sys.executable} -c '{ASK}';"
        for who in (town.server, one, town.shared)
    )
    script = f"""
        set -e
        ip link set lo up
        ip addr add 169.254.169.254/32 dev lo
        ip -6 addr add fd00:ec2::254/128 dev lo nodad
        nft -f {town.places.rules}
        coproc {sys.executable} -c '{SERVICE}'
        read -r <&"${{COPROC[0]}}"
        {asking}
    """

    said = subprocess.run(
        ["unshare", "--net", "bash", "-c", script], capture_output=True, text=True, check=True
    )

    refused = ["ConnectionRefusedError", "ConnectionRefusedError"]
    assert said.stdout.split() == ["role", "role", *refused, *refused], said.stderr


def _made(town: Town, *names: str) -> list[str]:
    people = [town.person(name) for name in names]
    for person in people:
        UserFactory.create(username=person)
    assert linux_people.provided(town, *people).problems == []
    return people


def _backup(owner: str, monkeypatch: pytest.MonkeyPatch) -> Backup:
    cloud = MemoryCloud()
    monkeypatch.setattr(session, "cloud", lambda _credentials: cloud)
    monkeypatch.setattr(broker, "is_behind", lambda *_: False)
    policy = PolicyFactory.create(owner=UserFactory.create(username=owner), name="p")
    instance = cloud.add_instance()
    PolicyTargetFactory.create(policy=policy, instance_id=instance.instance_id)
    return Backup(policy, cloud, instance, Path(machine.found().folder(owner)))


@contextmanager
def _server_is_root(town: Town) -> Iterator[None]:
    """Let this process be the server."""
    for place in (town.home, town.scripts):
        os.chown(place, 0, 0)
    yield
    for place in (town.home, town.scripts):
        shutil.chown(place, town.server)


def _version(folder: Folder) -> str:
    with looking.opened(folder) as place:
        found = looking.read(place, "before_p.sh")
    assert found is not None
    return found.entry.version


def _saved(folder: Folder, text: str) -> None:
    """Save the file as the pages do, with the rights that this process has, and without rows."""
    version = _version(folder)
    with looking.opened(folder) as place:
        writing.put(place, "before_p.sh", text.encode(), opened=version)
