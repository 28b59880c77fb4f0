"""The files that follow the rows, and the programs that know them: with a real sshd and the real ssh."""

import os
import pwd
import stat
import subprocess
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from pytest_django import Settings

from n2wbackup.lib import clock, trust
from scripts_admin import linux_accounts
from scripts_admin.guard.spool import RunAs
from scripts_admin.hosts import files, keypairs, own_account
from scripts_admin.linux_accounts import AccountError, LinuxAccount
from scripts_admin.models import Folder, HostState, SshHost, SshKey, User
from scripts_admin.services import folders, host_checks, keys, users
from tests import factories
from tests.ground import components, processes, sshd
from tests.ground.sshd import Sshd

pytestmark = [pytest.mark.django_db, pytest.mark.real]
NOBODY = "nobody"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def shared(settings: Settings) -> Iterator[Path]:
    """A home that the scripts' account may pass through."""
    components.needs_root("becoming another account")
    with processes.folder() as place:
        place.chmod(0o711)
        settings.N2W_HOME = place
        settings.N2W_SCRIPTS_ROOT = place / "scripts"
        settings.N2W_RUN_SCRIPTS_AS = "cpmuser"
        settings.N2W_SCRIPT_USER = NOBODY
        yield place


@pytest.fixture
def alice() -> User:
    return factories.alice()


@pytest.fixture
def folder(alice: User) -> Folder:
    return folders.of(alice)


def approve(folder: Folder, server: Sshd, name: str = "127.0.0.1", key: str = "") -> SshHost:
    key = key or " ".join((server.config.parent / "host_key.pub").read_text().split()[:2])
    return SshHost.objects.create(
        folder=folder,
        name=name,
        port=server.port,
        state=HostState.APPROVED,
        key=key,
        added_at=clock.now(),
    )


def let_in(server: Sshd, key: SshKey) -> None:
    with (server.config.parent / "authorized_keys").open("a") as file:
        file.write(key.authorized_keys + "\n")


def run(
    folder: Folder, command: str, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a line of shell as the scripts' account, with a script's PATH."""
    account = pwd.getpwnam(NOBODY)
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=cwd,
        env={"PATH": files.path_of_scripts(folder), **environment},
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ready(folder: Folder) -> Path:
    files.follow(folder)
    return folders.on_disk(folder)


def test_a_script_logs_in_with_its_key_to_an_approved_host(
    shared: Path, folder: Folder, server: Sshd
) -> None:
    key = keys.make(folder, by=None)
    let_in(server, key)
    approve(folder, server)
    place = ready(folder)

    done = run(folder, f"ssh -p {server.port} {server.user}@127.0.0.1 echo there", place)

    assert (done.returncode, done.stdout, done.stderr) == (0, "there\n", "")


@pytest.mark.parametrize(
    "away", ["", "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null", "-F /dev/null"]
)
def test_no_script_reaches_a_host_that_nobody_approved_or_is_asked(
    shared: Path, folder: Folder, server: Sshd, away: str
) -> None:
    let_in(server, keys.make(folder, by=None))
    place = ready(folder)

    done = run(folder, f"ssh {away} -p {server.port} {server.user}@127.0.0.1 echo there", place)

    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr
    assert "there" not in done.stdout


def test_a_script_that_switches_the_check_off_is_checked_with_our_hosts(
    shared: Path, folder: Folder, server: Sshd
) -> None:
    let_in(server, keys.make(folder, by=None))
    approve(folder, server)
    place = ready(folder)
    off = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=no"

    done = run(folder, f"ssh {off} -p {server.port} {server.user}@127.0.0.1 echo there", place)

    assert done.stdout == "there\n"


def test_a_script_with_a_key_file_of_its_own_goes_on_working(
    shared: Path, folder: Folder, server: Sshd
) -> None:
    approve(folder, server)
    place = ready(folder)
    own = place / "mysshkey.pem"
    own.write_bytes(server.key.read_bytes())
    own.chmod(0o600)
    os.chown(own, pwd.getpwnam(NOBODY).pw_uid, -1)

    done = run(folder, f"ssh -i {own} -p {server.port} {server.user}@127.0.0.1 echo there", place)

    assert done.stdout == "there\n"


def test_scp_sftp_rsync_and_git_find_the_same(shared: Path, folder: Folder, server: Sshd) -> None:
    let_in(server, keys.make(folder, by=None))
    approve(folder, server)
    place = ready(folder)
    (place / "sent").write_text("sent\n")
    far = shared / "far"
    far.mkdir()
    to = f"{server.user}@127.0.0.1"
    subprocess.run(["git", "init", "-q", "--bare", far / "x.git"], check=True)

    done = run(
        folder,
        f"scp -q -P {server.port} sent {to}:{far}/scp && "
        f"echo 'put sent {far}/sftp' | sftp -q -b - -P {server.port} {to} >/dev/null && "
        f"rsync -e 'ssh -p {server.port}' sent {to}:{far}/rsync && "
        f"git ls-remote ssh://{to}:{server.port}{far}/x.git",
        place,
        HOME=str(far),
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(p.name for p in far.iterdir()) == ["rsync", "scp", "sftp", "x.git"]


def owner_of(folder: Folder, cwd: Path, command: str = "", **environment: str) -> str:
    """Return the file of known hosts that ssh is given; empty if the real one is called as it is."""
    done = run(folder, command or "ssh -G anything", cwd, **environment)
    found = [line for line in done.stdout.splitlines() if line.startswith("globalknownhostsfile")]
    return found[0].partition(" ")[2] if found else ""


def test_the_owner_is_known_by_the_folder_the_run_or_the_script(
    shared: Path, folder: Folder
) -> None:
    place, root = ready(folder), ready(folders.root())
    script = place / "before_p.sh"
    script.write_text("#!/bin/sh\nssh -G anything\n")
    script.chmod(0o755)
    alices, roots = (str(shared / "ssh" / name / "known_hosts") for name in ("alice", "root"))
    (place / "below").mkdir(mode=0o755)

    assert owner_of(folder, place) == alices
    assert owner_of(folder, place / "below") == alices
    assert owner_of(folder, root, N2W_OWNER="boss") == roots
    assert owner_of(folder, Path("/"), N2W_OWNER="alice") == alices
    assert owner_of(folder, Path("/"), N2W_OWNER="boss") == roots
    assert owner_of(folder, Path("/"), command=str(script)) == alices
    assert str(shared) not in owner_of(folder, Path("/"))
    assert str(shared) not in owner_of(folder, Path("/"), N2W_OWNER="../alice")


def test_only_the_scripts_account_reads_a_key_and_no_script_changes_a_host(
    shared: Path, folder: Folder, server: Sshd
) -> None:
    keys.make(folder, by=None)
    approve(folder, server)
    ready(folder)
    account = pwd.getpwnam(NOBODY)
    place = shared / "ssh" / "alice"
    found = {path.name: path.stat() for path in place.iterdir()}
    (key,) = (name for name in found if name.startswith("id_"))

    assert stat.S_IMODE(found[key].st_mode) == 0o600
    assert (found[key].st_uid, found[key].st_gid) == (account.pw_uid, account.pw_gid)
    for name in ("config", "known_hosts"):
        assert stat.S_IMODE(found[name].st_mode) == 0o640
        assert found[name].st_uid == 0
    assert stat.S_IMODE(place.stat().st_mode) == 0o750
    trying = f"cd {place} && cat {key} >/dev/null; echo x >>known_hosts; rm -f config; : >new; ls {shared}/ssh"
    assert "Permission denied" in run(folder, trying, Path("/")).stderr
    assert (place / "known_hosts").read_text().count("\n") == 1
    assert {path.name for path in place.iterdir()} == set(found)
    with trust.folder(shared / "ssh" / "bin"):
        pass


def test_what_is_missing_changed_or_no_longer_in_the_rows_is_put_right(
    shared: Path, folder: Folder, server: Sshd
) -> None:
    old = keys.make(folder, by=None)
    approve(folder, server)
    ready(folder)
    place = shared / "ssh" / "alice"
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    (place / "config").unlink()
    (place / "known_hosts").write_text("")
    (place / "stranger").write_text("x")
    (shared / "ssh" / "bin" / "ssh").unlink()

    ready(folder)

    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert (shared / "ssh" / "bin" / "ssh").is_file()
    keys.retire(old, by=None)
    ready(folder)
    assert not list(place.glob("id_*"))


def test_many_runs_write_the_same_files_at_the_same_time(shared: Path, folder: Folder) -> None:
    keys.make(folder, by=None)
    ready(folder)
    place = shared / "ssh" / "alice"
    failures: list[Exception] = []

    def write(number: int) -> None:
        wanted = {"config": files._Wanted(str(number).encode()), "known_hosts": files._Wanted(b"")}
        try:
            for _ in range(20):
                with files._alone():
                    files._write_folder(place, files._Owner(-1, -1), wanted)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert sorted(path.name for path in place.iterdir()) == ["config", "known_hosts"]


def test_a_run_notices_a_real_host_with_another_key(
    shared: Path, folder: Folder, server: Sshd, settings: Settings
) -> None:
    settings.N2W_SSH_NETWORKS = [ip_network("127.0.0.0/8")]
    host = approve(folder, server, key=str(keypairs.make().public))

    found = host_checks.check([host])

    assert [each.host for each in found.changed] == [host]
    host.refresh_from_db()
    assert (host.state, host.seen) == (HostState.CHANGED, server.host_key)


def test_the_files_of_a_deleted_user_are_gone(
    shared: Path, alice: User, folder: Folder, django_capture_on_commit_callbacks: object
) -> None:
    keys.make(folder, by=None)
    ready(folder)

    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        users.delete(alice)

    assert not (shared / "ssh" / "alice").exists()
    assert not SshKey.objects.exists()


def test_a_deleted_users_account_keeps_none_of_our_files(
    shared: Path,
    alice: User,
    folder: Folder,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: object,
) -> None:
    settings.N2W_RUN_SCRIPTS_AS = "owner"
    home, uid = shared / "home", 54321
    home.mkdir()
    os.chown(home, uid, uid)
    account = LinuxAccount(RunAs("alice", uid, uid, (uid,)), str(home))
    monkeypatch.setattr(linux_accounts, "script_account", lambda _: account)
    monkeypatch.setattr(linux_accounts, "named", lambda _: account)
    monkeypatch.setattr(linux_accounts, "uid_of", lambda _: uid)
    keys.make(folder, by=None)
    files.follow(folder)
    assert [path.name[:13] for path in (home / ".ssh").glob("n2w*")] == ["n2wbackup_id_"]

    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        users.delete(alice)

    assert list((home / ".ssh").glob("n2w*")) == []
    assert "n2wbackup" not in (home / ".ssh" / "config").read_text()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    return home


def follow(home: Path, known_hosts: str = "db1 ssh-ed25519 AAAA\n") -> None:
    own_account.follow(
        str(home),
        None,
        config=lambda names: f"Host *\n  # {sorted(names)}\n",
        known_hosts=known_hosts,
        keys={"n2wbackup_id_1": b"secret\n"} if known_hosts else {},
    )


def test_an_account_of_an_owners_own_keeps_what_the_person_wrote(own: Path) -> None:
    (own / ".ssh" / "config").write_text("Host mine\n  User me\n")
    (own / ".ssh" / "known_hosts").write_bytes(b"\xff mine\n")
    (own / ".ssh" / "id_rsa").write_text("mine")

    for _ in range(2):
        follow(own)

    config = (own / ".ssh" / "config").read_text()
    assert config.startswith(own_account.BEGIN)
    assert config.endswith(f"{own_account.END}\nHost mine\n  User me\n")
    assert config.count("BEGIN n2wbackup") == 1
    assert "'id_rsa'" in config
    known = (own / ".ssh" / "known_hosts").read_bytes()
    assert known.endswith(b"\xff mine\n")
    assert b"db1 ssh-ed25519" in known
    assert stat.S_IMODE((own / ".ssh" / "n2wbackup_id_1").stat().st_mode) == 0o600

    own_account.forget(str(own), None)

    assert (own / ".ssh" / "config").read_text() == "Host mine\n  User me\n"
    assert (own / ".ssh" / "known_hosts").read_bytes() == b"\xff mine\n"
    assert not (own / ".ssh" / "n2wbackup_id_1").exists()
    assert (own / ".ssh" / "id_rsa").read_text() == "mine"


def test_nothing_is_made_for_who_has_neither_key_nor_host(own: Path) -> None:
    (own / ".ssh").rmdir()

    follow(own, known_hosts="")

    assert list(own.iterdir()) == []


def test_root_writes_as_the_account_and_follows_no_link_of_it(shared: Path) -> None:
    account = pwd.getpwnam(NOBODY)
    home, trap = shared / "home", shared / "trap"
    for place in (home, trap):
        place.mkdir(mode=0o755)
    os.chown(home, account.pw_uid, account.pw_gid)
    (home / ".ssh").symlink_to(trap)
    identity = RunAs(NOBODY, account.pw_uid, account.pw_gid, ())

    with pytest.raises(AccountError, match="could not be written"):
        own_account.follow(str(home), identity, config=lambda _: "", known_hosts="x\n", keys={})

    assert list(trap.iterdir()) == []
