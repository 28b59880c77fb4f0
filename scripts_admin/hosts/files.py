"""SSH's files follow the rows: keys, known hosts and settings, where the scripts' account finds them.

Scripts that share an account, or run as the server itself, have a folder for each owner in `N2W_HOME/ssh`; their
PATH begins with programs that know it. An account of an owner's own has the files in its own `.ssh`.

Whatever is missing or was changed is written anew at the next use. Each file is written aside and renamed.
"""

import errno
import fcntl
import os
import shlex
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from n2wbackup.lib import home, trust
from scripts_admin import linux_accounts
from scripts_admin.domain import ssh
from scripts_admin.folders import storage
from scripts_admin.hosts import own_account
from scripts_admin.linux_accounts import LinuxAccount
from scripts_admin.models import Folder, SshKey

PROGRAMS = ("ssh", "scp", "sftp", "rsync")
_BIN = "bin"
_WRAPPER = Path(__file__).with_name("wrapper.sh")
_KEY_PREFIX = "id_"
_USUAL_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")  # which ssh tries where no key is named
CONNECT_SECONDS = 10
_TRIES, _PAUSE_SECONDS = 500, 0.02


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file's content, and whether it is a private key."""

    content: bytes
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class _Owner:
    """Who gets what in a shared folder: the account that reads keys, and its group; -1 where the server's own does."""

    uid: int
    gid: int

    def of(self, wanted: _Wanted) -> tuple[int, int, int]:
        """Return uid, gid and mode. Scripts read the hosts and cannot change them; keys are the account's own."""
        uid, gid = os.geteuid(), os.getegid()
        if self.gid == -1:
            return uid, gid, 0o600
        if not wanted.is_secret:
            return uid, self.gid, 0o640
        return (self.uid, self.gid, 0o600) if uid == 0 else (uid, self.gid, 0o640)


def has_own_account(folder: Folder) -> bool:
    """Tell whether the folder's scripts run as an account that nobody else's scripts have."""
    return settings.N2W_RUN_SCRIPTS_AS == "owner" and not folder.is_root


def path_of_scripts(folder: Folder) -> str:
    """Return the PATH of the folder's scripts."""
    if has_own_account(folder):
        return storage.SCRIPT_PATH
    return f"{Path(settings.N2W_HOME) / 'ssh' / _BIN}:{storage.SCRIPT_PATH}"


def follow(folder: Folder, *, has_keys: bool = True) -> None:
    """Write what the rows say. OSError or AccountError if that is not possible: then old files may be there.

    `has_keys`: the folder may have some.
    """
    account = linux_accounts.script_account(folder)
    keys = list(SshKey.objects.filter(folder=folder, slot__isnull=False)) if has_keys else []
    hosts = [(host.name, host.port, host.key) for host in folder.ssh_hosts.all() if host.key]
    known = ssh.known_hosts(hosts)
    if has_own_account(folder):
        own_account.follow(
            account.home,
            linux_accounts.to_become(account),
            config=lambda theirs: _own_config(keys, theirs),
            known_hosts=known,
            keys={own_account.KEY_PREFIX + _name(key): _text(key) for key in keys},
        )
        return
    place = home.ssh() / folder.name
    wanted = {_KEY_PREFIX + _name(key): _Wanted(_text(key), is_secret=True) for key in keys}
    wanted["known_hosts"] = _Wanted(known.encode())
    wanted["config"] = _Wanted(_config(folder, place, keys, account).encode())
    with _alone():
        _write_folder(place, _owner(account), wanted)
        _write_programs()


def forget(name: str) -> None:
    """Remove the files of a deleted user's folder; OSError if that fails."""
    place = home.ssh() / name
    if name != _BIN and place.is_dir():
        shutil.rmtree(place)


def strangers(known: set[str]) -> list[str]:
    """Return the names of folders in `N2W_HOME/ssh` that belong to none of the known owners."""
    place = Path(settings.N2W_HOME) / "ssh"
    found = (entry.name for entry in place.iterdir()) if place.is_dir() else ()
    return sorted(set(found) - known - {_BIN})


@contextmanager
def _alone() -> Iterator[None]:
    """Let one thread of all processes write at a time. OSError if somebody does not come to an end.

    The lock lies where no script reaches it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    held = os.open(home.run() / "ssh.lock", flags, 0o600)
    try:
        for _ in range(_TRIES):
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE_SECONDS)
            else:
                break
        else:
            raise TimeoutError(errno.ETIMEDOUT, "another process of the server holds ssh.lock")
        yield
    finally:
        os.close(held)


def _name(key: SshKey) -> str:
    return str(key.pk).partition("-")[0]


def _text(key: SshKey) -> bytes:
    return key.private.encode()


def _owner(account: LinuxAccount) -> _Owner:
    identity = account.identity
    if identity.uid == os.geteuid():
        return _Owner(-1, -1)
    return _Owner(identity.uid, identity.gid)


_SETTINGS = f"""  BatchMode yes
  StrictHostKeyChecking yes
  ConnectTimeout {CONNECT_SECONDS}
  IdentitiesOnly yes
  IdentityAgent none
  ForwardAgent no
  ControlMaster no
  ControlPath none
  UpdateHostKeys no
"""


def _config(folder: Folder, place: Path, keys: list[SshKey], account: LinuxAccount) -> str:
    """Return the settings of a shared account's scripts. In each line, what ssh reads first counts.

    The owner's file `ssh_config` and the account's own may name more: users, ports, other keys.
    """
    own = Path(account.home) / ".ssh"
    lines = [f"  IdentityFile {_quoted(place / (_KEY_PREFIX + _name(key)))}\n" for key in keys]
    lines += [
        f"  IdentityFile {_quoted(own / name)}\n" for name in _USUAL_KEYS if _is_there(own / name)
    ]
    hosts = f"{_quoted(place / 'known_hosts')} {_quoted(own / 'known_hosts')}"
    more = (storage.path(folder) / "ssh_config", own / "config")
    return (
        "# Written by n2wbackup from its pages Keys and Hosts: changes here are lost.\nHost *\n"
        + _SETTINGS
        + f"  UserKnownHostsFile {hosts}\n"
        + "".join(lines)
        + "".join(f"Include {_quoted(path)}\n" for path in more)
    )


def _own_config(keys: list[SshKey], theirs: set[str]) -> str:
    """Return the settings for an account of the owner's own; `theirs` are the names of the files in its `.ssh`."""
    mine = [own_account.KEY_PREFIX + _name(key) for key in keys]
    named = [*mine, *(name for name in _USUAL_KEYS if name in theirs)]
    lines = "".join(f"  IdentityFile ~/.ssh/{name}\n" for name in named)
    return f"Host *\n{_SETTINGS}  UserKnownHostsFile ~/.ssh/known_hosts\n{lines}"


def _quoted(path: Path) -> str:
    return f'"{path}"'


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _write_folder(place: Path, owner: _Owner, wanted: Mapping[str, _Wanted]) -> None:
    """Make the folder exactly this. It is the server's: the scripts' account enters it and changes nothing in it."""
    place.mkdir(mode=0o700, exist_ok=True)
    if owner.gid != -1:
        os.chown(place, -1, owner.gid)
        place.chmod(0o750)
    with trust.folder(place) as looked:
        within = os.open(f"/proc/self/fd/{looked}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name, file in wanted.items():
                _write(within, name, file.content, owner.of(file))
            with os.scandir(within) as entries:
                left = {entry.name for entry in entries} - set(wanted)
            for name in left:
                os.unlink(name, dir_fd=within)
        finally:
            os.close(within)


def _write_programs() -> None:
    place = home.ssh() / _BIN
    place.mkdir(mode=0o755, exist_ok=True)
    place.chmod(0o755)
    scripts = Path(settings.N2W_SCRIPTS_ROOT).resolve()
    text = _WRAPPER.read_text(encoding="utf-8")
    for name, path in (("n2w_place", home.ssh().resolve()), ("n2w_scripts", scripts)):
        text = text.replace(f"{name}=''\n", f"{name}={shlex.quote(str(path))}\n", 1)
    with trust.folder(place) as looked:
        within = os.open(f"/proc/self/fd/{looked}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in PROGRAMS:
                _write(within, name, text.encode(), (os.geteuid(), os.getegid(), 0o755))
        finally:
            os.close(within)


def _write(within: int, name: str, content: bytes, owner: tuple[int, int, int]) -> None:
    """Write the file unless it is just so; whoever reads it meanwhile sees the old one or the new one."""
    if _is_so(within, name, content, owner):
        return
    uid, gid, mode = owner
    temporary = f".{name}.new"
    with suppress(FileNotFoundError):  # of a process that was killed
        os.unlink(temporary, dir_fd=within)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    written = os.open(temporary, flags, 0o600, dir_fd=within)
    try:
        with os.fdopen(written, "wb") as file:
            file.write(content)
            file.flush()
            os.fchown(written, uid, gid)
            os.fchmod(written, mode)
            os.fsync(written)
        os.rename(temporary, name, src_dir_fd=within, dst_dir_fd=within)
    except BaseException:
        os.unlink(temporary, dir_fd=within)
        raise


def _is_so(within: int, name: str, content: bytes, owner: tuple[int, int, int]) -> bool:
    try:
        opened = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=within
        )
    except OSError:
        return False
    with os.fdopen(opened, "rb") as file:
        status = os.fstat(opened)
        said = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
        return (
            stat.S_ISREG(status.st_mode)
            and said == owner
            and file.read(len(content) + 1) == content
        )
