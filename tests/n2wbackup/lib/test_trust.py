"""What belongs to somebody else, or can be changed by somebody else, is told in one sentence and never opened."""

import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from pytest_django import Settings

from n2wbackup.lib import home, trust
from n2wbackup.lib.trust import UntrustedError
from n2wbackup.processes import serve_lock
from n2wbackup.settings import env
from scripts_admin.folders.provisioning import session
from scripts_admin.folders.provisioning.session import (
    GROUP_OBJ,
    MASK,
    NOBODY,
    OTHER,
    USER,
    USER_OBJ,
)
from tests.ground import processes, strangers


@pytest.fixture
def place(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a home as the server makes it, in a folder that every account may enter."""
    with processes.folder() as folder:
        made = folder / "home"
        made.mkdir(mode=0o711)
        settings.N2W_HOME = made
        settings.N2W_SCRIPTS_ROOT = made / "scripts"
        settings.N2W_SECRET_FILES = []
        database = settings.DATABASES["default"]
        monkeypatch.setitem(database, "ENGINE", "django.db.backends.sqlite3")
        monkeypatch.setitem(database, "NAME", made / "db.sqlite3")
        for name in ("spool", "run", "logs", "scripts", "secrets"):
            (made / name).mkdir(mode=0o711)
        for name in ("server-id", "db.sqlite3", "serve.lock", "secrets/secret-key"):
            (made / name).write_text("8d7dbbf4-3de3-4e1c-8e4c-7bb8d4e5b1a0\n")
            (made / name).chmod(0o600)
        yield made


def test_a_home_as_the_server_makes_it_is_trusted(place: Path) -> None:
    assert home.problems() == []
    home.verify()


def _chmod(name: str, mode: int) -> Callable[[Path], Path]:
    def do(place: Path) -> Path:
        (place / name).chmod(mode)
        return place / name

    return do


def _given_away(name: str) -> Callable[[Path], Path]:
    def do(place: Path) -> Path:
        strangers.gets(place / name)
        return place / name

    return do


def _link(name: str) -> Callable[[Path], Path]:
    def do(place: Path) -> Path:
        moved = place / f"{Path(name).name}.moved"
        (place / name).rename(moved)
        (place / name).symlink_to(moved)
        return place / name

    return do


def _fifo(name: str) -> Callable[[Path], Path]:
    def do(place: Path) -> Path:
        (place / name).unlink()
        os.mkfifo(place / name, 0o600)
        return place / name

    return do


def _of_group(name: str) -> Callable[[Path], Path]:
    def do(place: Path) -> Path:
        os.chown(place / name, -1, strangers.GID)
        (place / name).chmod(0o770)
        return place / name

    return do


SPOILED = [
    (_chmod("", 0o777), "can be written to by other accounts (mode 0777)"),
    (_of_group(""), "can be written to by other accounts (mode 0770)"),
    (_chmod("..", 0o777), "so they can replace what the server keeps there"),
    (_given_away(".."), "belongs to nobody, and the server runs as root"),
    (_given_away(""), "belongs to nobody, and the server runs as root"),
    (_chmod("spool", 0o733), "can be written to by other accounts (mode 0733)"),
    (_link("spool"), "is a link, not a folder"),
    (_given_away("run"), "belongs to nobody"),
    (_chmod("logs", 0o777), "can be written to by other accounts (mode 0777)"),
    (_chmod("scripts", 0o1777), "can be written to by other accounts (mode 1777)"),
    (_of_group("scripts"), "can be written to by other accounts (mode 0770)"),
    (_chmod("secrets", 0o777), "can be written to by other accounts (mode 0777)"),
    (_chmod("secrets/secret-key", 0o644), "holds a secret, and other accounts can read it (mode 0644)"),
    (_chmod("secrets/secret-key", 0o640), "holds a secret, and other accounts can read it (mode 0640)"),
    (_given_away("secrets/secret-key"), "belongs to nobody"),
    (_link("secrets/secret-key"), "is a link, not a file"),
    (_fifo("secrets/secret-key"), "is a FIFO, not a file"),
    (_chmod("db.sqlite3", 0o666), "can be written to by other accounts (mode 0666)"),
    (_given_away("db.sqlite3"), "belongs to nobody"),
    (_fifo("server-id"), "is a FIFO, not a file"),
    (_given_away("server-id"), "belongs to nobody"),
    (_given_away("serve.lock"), "belongs to nobody"),
]  # fmt: skip


def test_who_is_named_by_an_acl_may_write_also_where_the_group_is_our_own(tmp_path: Path) -> None:
    """Of a file with an ACL, the group's bits are the mask: what all may do at most whom it names."""
    own = pwd.getpwuid(os.geteuid())
    path = tmp_path / "server-id"
    path.write_text("x")
    os.chown(path, -1, own.pw_gid)
    path.chmod(0o664)
    with trust.file(path):
        pass  # a group of one's own is nobody else

    acl = [
        (USER_OBJ, 6, NOBODY),
        (USER, 6, 45001),
        (GROUP_OBJ, 4, NOBODY),
        (MASK, 6, NOBODY),
        (OTHER, 4, NOBODY),
    ]
    os.setxattr(path, "system.posix_acl_access", session.packed(acl))

    with (
        pytest.raises(UntrustedError, match="can be written to by other accounts"),
        trust.file(path),
    ):
        pass


@pytest.mark.parametrize(("spoil", "fact"), SPOILED)
def test_what_others_can_change_is_refused_in_one_sentence_and_left_alone(
    place: Path, spoil: Callable[[Path], Path], fact: str
) -> None:
    spoiled = spoil(place)
    before = _seen(place)

    (problem,) = home.problems()

    assert fact in problem
    assert str(spoiled.resolve() if spoiled.name in {"", ".."} else spoiled) in problem
    assert problem.endswith(".")
    assert ". " not in problem
    assert ": " in problem
    with pytest.raises(UntrustedError) as refused:
        home.verify()
    assert str(refused.value) == problem
    assert _seen(place) == before


def _seen(place: Path) -> dict[Path, tuple[int, int, int]]:
    found = [place, *sorted(place.rglob("*"))]
    return {path: (s.st_mode, s.st_uid, s.st_mtime_ns) for path in found for s in [path.lstat()]}


def test_the_file_that_a_variable_names_is_judged_too(place: Path, settings: Settings) -> None:
    key = place.parent / "key"
    key.write_text("secret")
    settings.N2W_SECRET_FILES = [key]
    key.chmod(0o640)  # as container platforms hand out secrets
    assert home.problems() == []

    key.chmod(0o644)

    (problem,) = home.problems()
    assert problem == (
        f"{key} holds a secret, and other accounts can read it (mode 0644): run chmod 600 {key}, and change "
        "the secret if somebody may have read it."
    )


def test_a_home_under_another_accounts_link_is_refused(place: Path, settings: Settings) -> None:
    link = place.parent / "link"
    link.symlink_to(place)
    settings.N2W_HOME = link
    home.verify()

    strangers.gets(link)

    with pytest.raises(UntrustedError, match=f"{link} belongs to nobody"):
        home.verify()


def test_a_sticky_folder_above_protects_what_is_ours(place: Path) -> None:
    place.parent.chmod(0o1777)

    home.verify()


def test_a_link_elsewhere_gives_nobody_the_right_to_write(place: Path) -> None:
    os.link(place / "db.sqlite3", place.parent / "backup")

    home.verify()


def test_the_home_of_a_server_that_is_not_root_is_its_own(place: Path) -> None:
    for path in (place, *place.rglob("*")):
        strangers.gets(path)

    def ask() -> None:
        assert home.problems() == []
        assert home.runtime().stat().st_uid == strangers.UID
        home.runtime().rmdir()

    strangers.does(ask)


def test_a_home_that_the_settings_make_is_trusted_with_any_umask(
    place: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = place / "of" / "another" / "server"
    monkeypatch.setenv("N2W_HOME", str(wanted))
    umask = os.umask(0)
    try:
        settings.N2W_HOME = env._home()
    finally:
        os.umask(umask)

    assert wanted == settings.N2W_HOME
    assert home.problems() == []


def test_what_is_not_there_yet_is_no_problem(place: Path) -> None:
    for path in (place / "spool", place / "run"):
        path.rmdir()

    home.verify()


def test_neither_a_fifo_nor_a_device_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(UntrustedError, match="is a FIFO, not a file"):
        trust.text(tmp_path / "fifo")
    with pytest.raises(UntrustedError, match="is a device, not a file"):
        trust.text("/dev/zero")
    with pytest.raises(UntrustedError, match="is a folder, not a file"):
        trust.text(tmp_path)


def test_a_command_of_another_account_is_told_whose_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env, "N2W_HOME", place)
    monkeypatch.delenv("SECRET_KEY", raising=False)
    (place / "secrets").chmod(0o700)
    place.chmod(0o711)

    def ask() -> None:
        with pytest.raises(ImproperlyConfigured) as told:
            env._secret("SECRET_KEY", lambda: "made")
        assert str(told.value) == (
            f"{place}/secrets/secret-key is for root only, and this command runs as nobody: run it as root."
        )

    strangers.does(ask)


def test_a_thaw_goes_on_with_keys_that_the_start_refuses(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env, "N2W_HOME", place)
    monkeypatch.delenv("SECRET_KEY", raising=False)
    key = place / "secrets" / "secret-key"
    own = key.read_text().strip()

    key.chmod(0o644)
    assert env._secret("SECRET_KEY", lambda: "made") == own  # authentic, but not secret any more
    strangers.gets(key)
    assert env._secret("SECRET_KEY", lambda: "made") == "made"


def test_a_lock_of_somebody_else_names_no_process_to_stop(place: Path) -> None:
    lock = place / "serve.lock"
    lock.write_text("1\n")
    strangers.gets(lock)

    for ask in (serve_lock.held, serve_lock.acquire, serve_lock.share):
        with pytest.raises(UntrustedError, match="belongs to nobody"):
            ask(lock)
    with pytest.raises(CommandError, match=r"serve\.lock belongs to nobody"):
        call_command("drain")
