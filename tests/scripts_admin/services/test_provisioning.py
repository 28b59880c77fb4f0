"""Who gets a Linux account and who does not; a refusal is one sentence, and nothing has changed."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest
from pytest_django import Settings

from n2wbackup.lib import clock
from scripts_admin.domain import linux_register
from scripts_admin.domain.linux_register import Kind, Ours
from scripts_admin.domain.places import Places
from scripts_admin.folders.provisioning import base, departing, machine, network, tenants
from scripts_admin.folders.provisioning.commands import Command, ProvisionError, Step, carry_out
from scripts_admin.models import AuditEntry, FormerFolder
from scripts_admin.services import provisioning
from scripts_admin.services.provisioning import Work
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
NAME = "n2wt-nobody-has-it"


@pytest.fixture(autouse=True)
def small_machine(tmp_path: Path, settings: Settings) -> Path:
    settings.N2W_HOME = tmp_path
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    settings.N2W_SCRIPT_USER = "n2wt-scripts"
    settings.N2W_LINUX_PLACES = Places(
        str(tmp_path), "n2wt-scripts", "n2wt", str(tmp_path / "homes")
    )
    return tmp_path


def listed(tmp_path: Path, *accounts: Ours) -> None:
    """Write the list of accounts as `provision_user` does; it must be root's."""
    if os.geteuid() != 0:
        pytest.skip("only root can write root's list")
    path = tmp_path / "etc/n2wbackup/accounts"
    path.parent.mkdir(parents=True)
    path.write_text(linux_register.written(accounts))
    path.chmod(0o644)


def told(name: str = "", **options: object) -> tuple[list[str], Work]:
    """Return what a dry run prints: for one user, or for all."""
    said: list[str] = []
    work = Work(said.append, dry_run=True)
    if name:
        provisioning.provide(name, work, **options)  # type: ignore[arg-type]
    else:
        provisioning.follow(work)
    return said, work


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("..", "cannot be used"),
        (".ssh", "cannot be used"),
        ("", "cannot be used"),
        ("before_x.sh", "cannot be used"),
        ("a\nb", "cannot be used"),
        ("\x1b[31m", "cannot be used"),
        ("root", "belongs to the system or is reserved"),
        ("cpmuser", "belongs to the system or is reserved"),
        ("bin", "belongs to the system or is reserved"),
        (NAME, "There is no user n2wt-nobody-has-it: create the user first"),
    ],
)
@pytest.mark.parametrize("removed", [False, True])
def test_such_a_name_gets_no_account(name: str, words: str, removed: bool, tmp_path: Path) -> None:
    if removed and name == NAME:
        words = "There is no Linux account n2wt-nobody-has-it of ours"
    said: list[str] = []
    work = Work(said.append, dry_run=True)

    deed = provisioning.remove if removed else provisioning.provide
    with pytest.raises(ProvisionError, match=words) as refused:
        deed(name, work)

    assert str(refused.value).isprintable()
    assert str(refused.value).endswith(".")
    assert said == []
    assert list(tmp_path.iterdir()) == []


def test_an_account_of_somebody_else_is_never_touched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    UserFactory.create(username=NAME)
    monkeypatch.setattr(machine, "uid_of", lambda name: 1234 if name == NAME else None)

    with pytest.raises(ProvisionError, match=r"exists, and provision_user did not make it"):
        told(NAME)

    said, work = told()
    assert [NAME in each and "did not make it" in each for each in work.problems] == [True]
    assert not any(NAME in each for each in said)
    # The same name with another user id is another account.
    listed(tmp_path, Ours(NAME, 1233, 1233, Kind.TENANT))
    with pytest.raises(ProvisionError, match=r"exists, and provision_user did not make it"):
        told(NAME)


def test_a_deleted_users_account_is_not_given_to_the_next_of_that_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    UserFactory.create(username=NAME)
    FormerFolder.objects.create(name=NAME, deleted_at=clock.now(), linux_uid=1234)
    listed(tmp_path, Ours(NAME, 1234, 1234, Kind.TENANT))
    monkeypatch.setattr(machine, "uid_of", lambda name: 1234 if name == NAME else None)

    with pytest.raises(ProvisionError, match=f"run userdel --remove {NAME}, and run this again"):
        told(NAME)


def test_superusers_and_deactivated_users_get_none() -> None:
    UserFactory.create(username="boss", is_superuser=True)
    UserFactory.create(username=NAME, is_active=False)

    with pytest.raises(ProvisionError, match="boss is a superuser"):
        told("boss")
    with pytest.raises(ProvisionError, match=f"{NAME} is deactivated"):
        told(NAME)
    said, work = told()
    assert not any(f" {name}" in each for each in said for name in ("boss", NAME))
    assert work.problems == [] or all("nft" in each for each in work.problems)


def test_a_dry_run_prints_every_command_and_runs_none(tmp_path: Path) -> None:
    UserFactory.create(username=NAME)
    accounts = [each.pw_name for each in pwd.getpwall()]

    said, work = told(NAME)

    text = "\n".join(said)
    folder = tmp_path / "scripts" / NAME
    for command in (
        "groupadd --system --gid ",
        f"--shell /bin/bash --password '*' --comment 'n2wbackup {NAME}' {NAME}",
        f"mkdir --mode=0700 {folder}",
        f"(cd {folder} && chown --no-dereference {NAME}:n2wt-scripts .)",
        f"(cd {folder} && setfacl --default --set u::rwx,u:n2wbackup:rwx,u:{NAME}:rwx,g:n2wt-scripts:rwx",
        f"(cd {folder} && chmod 2770 .)",
        f"mv --no-target-directory {tmp_path}/etc/n2wbackup/accounts.new {tmp_path}/etc/n2wbackup/accounts",
        f"{NAME} uid=",
    ):
        assert command in text
    assert work.count > 10
    assert list(tmp_path.iterdir()) == []
    assert [each.pw_name for each in pwd.getpwall()] == accounts
    assert AuditEntry.objects.filter(label=NAME, kind="folder", action="changed").count() == 0


def test_a_new_account_is_listed_before_it_is_made_and_opened_at_the_end() -> None:
    UserFactory.create(username=NAME)

    said, _ = told(NAME)

    kinds = []
    for line in said:
        if line.startswith("useradd") and line.endswith(NAME):
            kinds.append("made")
        elif f"{NAME} uid=" in line:
            kinds.append("open" if "kind=tenant state=open" in line else "locked")
    assert kinds == ["locked", "made", "open"]


def test_files_that_are_there_are_opened(tmp_path: Path) -> None:
    UserFactory.create(username=NAME)
    folder = tmp_path / "scripts" / NAME
    folder.mkdir(parents=True)
    assert "--mend" not in "\n".join(told(NAME)[0])

    (folder / "before_p.sh").write_text("#!/bin/sh\n")

    assert f"{tmp_path}/usr/local/libexec/n2wbackup-session --mend {folder}" in told(NAME)[0]


def test_no_two_of_the_new_accounts_and_groups_get_the_same_number() -> None:
    UserFactory.create(username=NAME)

    said, _ = told(NAME)

    groups = [line.split()[-2:] for line in said if line.startswith("groupadd")]
    assert len(groups) == 4  # of all people, the server, scripts, the user
    assert len({gid for gid, _ in groups}) == 4


def test_ids_that_somebody_had_are_not_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    UserFactory.create(username=NAME)
    free = machine.as_it_is(NAME, Kind.TENANT, set(), None).uid
    FormerFolder.objects.create(name="gone", deleted_at=clock.now(), linux_uid=free)

    said, _ = told(NAME)

    assert f"useradd --uid {free + 1} " in "\n".join(said)


def test_accounts_without_an_active_user_are_locked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    UserFactory.create(username=NAME, is_active=False)
    listed(tmp_path, Ours(NAME, 1234, 1234, Kind.TENANT), Ours("gone-one", 1235, 1235, Kind.TENANT))
    monkeypatch.setattr(machine, "uid_of", {NAME: 1234, "gone-one": 1235}.get)

    said, _ = told()

    text = "\n".join(said)
    for name, uid in ((NAME, 1234), ("gone-one", 1235)):
        assert f"{name} uid={uid} gid={uid} kind=tenant state=locked" in text
        assert f"usermod --lock --expiredate 1 --shell /usr/sbin/nologin {name}" in text


def test_an_account_whose_scripts_are_at_work_is_not_locked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listed(tmp_path, Ours(NAME, 1234, 1234, Kind.TENANT))
    monkeypatch.setattr(machine, "uid_of", lambda _: 1234)
    said: list[str] = []
    work = Work(said.append, dry_run=True)

    provisioning.follow(work, lambda name: f"{name} is at work.")

    assert f"{NAME} is at work." in work.problems
    assert not any("usermod --lock" in each for each in said)


def test_of_those_who_left_the_accounts_are_locked_and_none_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    UserFactory.create(username="is-here")
    names = {NAME: 1234, "at-work": 1235, "is-here": 1236}
    listed(tmp_path, *(Ours(name, uid, uid, Kind.TENANT) for name, uid in names.items()))
    monkeypatch.setattr(machine, "uid_of", names.get)
    said: list[str] = []
    work = Work(said.append, dry_run=True)

    provisioning.departed(work, lambda name: "It is at work." * (name == "at-work"))

    assert work.problems == ["It is at work."]
    locked = [each for each in said if "usermod" in each]
    assert locked == [f"usermod --lock --expiredate 1 --shell /usr/sbin/nologin {NAME}"]
    assert not any("useradd" in each for each in said)


def test_a_database_without_users_locks_nobody(tmp_path: Path) -> None:
    listed(tmp_path, Ours(NAME, 1234, 1234, Kind.TENANT))
    said: list[str] = []

    with pytest.raises(ProvisionError, match="no account was locked: check that DATABASE_URL"):
        provisioning.departed(Work(said.append, dry_run=True))

    assert said == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd judges its own units")
def test_systemd_finds_nothing_wrong_with_the_units_that_lock_accounts(tmp_path: Path) -> None:
    for kind, text in departing.units().items():
        (tmp_path / f"n2w-departed.{kind}").write_text(text)
    files = sorted(str(each) for each in tmp_path.glob("n2w-departed.*"))

    judged = subprocess.run(
        ["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False
    )

    about_ours = [line for line in judged.stderr.splitlines() if "n2w-departed" in line]
    assert about_ours == []


def test_the_scripts_account_is_not_the_servers_and_has_a_group_of_its_own(
    settings: Settings,
) -> None:
    settings.N2W_SCRIPT_USER = "n2wbackup"
    with pytest.raises(ProvisionError, match="could read its secrets"):
        told()
    settings.N2W_SCRIPT_USER = "root"
    with pytest.raises(ProvisionError, match="must not run as root"):
        told()
    settings.N2W_SCRIPT_USER = "sync"  # its first group is nogroup
    with pytest.raises(ProvisionError, match="must be a group of sync alone"):
        told()


def test_only_root_changes_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    UserFactory.create(username=NAME)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said: list[str] = []

    with pytest.raises(
        ProvisionError, match="Only root can change Linux accounts: run this with sudo"
    ):
        provisioning.provide(NAME, Work(said.append))

    assert said == []


def test_a_list_that_others_can_write_to_is_believed_by_nobody(tmp_path: Path) -> None:
    listed(tmp_path, Ours(NAME, 1234, 1234, Kind.TENANT))
    assert list(machine.register()) == [NAME]

    (tmp_path / "etc/n2wbackup/accounts").chmod(0o666)

    assert machine.register() == {}


def test_a_step_that_fails_is_undone_and_named(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    step = Step(
        "the mark",
        mark.exists,
        (Command(("touch", str(mark))), Command(("sh", "-c", "echo no such thing. >&2; exit 3"))),
        (Command(("rm", str(mark))),),
    )

    with pytest.raises(
        ProvisionError, match=r"the mark: `sh .*` failed: no such thing\. Correct that"
    ):
        carry_out([step], lambda _: None, dry_run=False)

    assert not mark.exists()


def test_a_command_gets_nothing_of_our_environment_and_no_link_leads_it_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "secret")
    (tmp_path / "link").symlink_to("/etc")
    said = tmp_path / "said"
    steps = [
        Step("a look", said.exists, (Command(("sh", "-c", f"env > {said}"), within=str(tmp_path)),))
    ]
    carry_out(steps, lambda _: None, dry_run=False)
    assert "secret" not in said.read_text()

    through = Step("a way", lambda: False, (Command(("pwd",), within=str(tmp_path / "link")),))
    with pytest.raises(ProvisionError, match="could not be run"):
        carry_out([through], lambda _: None, dry_run=False)


def test_the_rules_name_every_account_of_scripts_and_both_addresses() -> None:
    text = network.rules(Places(), [1002, 998])

    assert "elements = { 998, 1002 }" in text
    assert "169.254.169.254" in text
    assert "fd00:ec2::254" in text
    assert "elements" not in network.rules(Places(), [])


def test_sshd_lets_people_in_by_key_alone_and_forwards_nothing() -> None:
    text = base.drop_in(machine.found())

    for line in (
        "Match Group n2wt-scripts",
        "AuthenticationMethods publickey",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "DisableForwarding yes",
        "PermitTunnel no",
        "AllowAgentForwarding no",
        "X11Forwarding no",
    ):
        assert line in text.replace("    ", "")


def test_processes_are_seen_by_any_of_their_user_ids() -> None:
    assert os.getpid() in tenants.running(os.geteuid())
    assert tenants.running(4_000_000) == []
