"""Files written on an instance over SFTP, into a new folder: nothing is overwritten, and each size is compared."""

from collections.abc import Iterator
from contextlib import suppress

from n2wbackup.lib import unasked
from scripts_admin.runners.handshake import BROKEN
from scripts_admin.runners.refusals import RefusedError
from scripts_admin.runners.ssh import Session

with unasked.left_out("invoke"):  # as in handshake
    from paramiko import SFTPClient, SFTPError

SECONDS = 30.0  # for each answer
_MADE_TRIES = 20
# With sudo there is no subsystem: the program of sshd's package is started, wherever the distribution has put it.
_PLACES = ("lib/openssh", "libexec/openssh", "lib/ssh", "libexec")
_SERVERS = " ".join(f"/usr/{place}/sftp-server" for place in _PLACES)
_AS_ROOT = f"""sudo -n sh -c 'for each in {_SERVERS}; do [ -x "$each" ] && exec "$each" -u 077; done; exit 127'"""


class NotBroughtError(Exception):
    """Files could not be written on an instance; the text is a sentence."""


class Folder:
    """A new folder on an instance. It is 0700 and belongs to whoever logs in; with sudo, to root."""

    def __init__(self, session: Session, above: str, name: str) -> None:
        """Make it; NotBroughtError if `above` is no folder, or takes none."""
        self._host = str(session.address)
        self._files = _files(session)
        self.path = self._made(above.rstrip("/"), name)

    def _made(self, above: str, name: str) -> str:
        try:
            self._files.listdir_attr(above or "/")
        except (*BROKEN, SFTPError) as error:
            message = f"{above or '/'} on {self._host} is no folder that can be read: name one that is there."
            raise NotBroughtError(message) from error
        for number in range(1, _MADE_TRIES + 1):
            path = f"{above}/{name}" if number == 1 else f"{above}/{name}-{number}"
            try:
                self._files.mkdir(path, 0o700)
            except FileNotFoundError:
                break
            except (*BROKEN, SFTPError) as error:
                if self._is_there(path):
                    continue
                message = (
                    f"No folder can be made in {above or '/'} on {self._host}: {_words(error)}."
                )
                raise NotBroughtError(message) from error
            return path
        message = f"No folder can be made in {above or '/'} on {self._host}: name another one."
        raise NotBroughtError(message)

    def _is_there(self, path: str) -> bool:
        try:
            self._files.lstat(path)
        except (*BROKEN, SFTPError):
            return False
        return True

    def _at(self, path: bytes) -> bytes:
        return self.path.encode() + b"/" + path

    def folder(self, path: bytes, mode: int) -> None:
        self._files.mkdir(self._at(path), mode)

    def file(self, path: bytes, size: int, mode: int, at: float, pieces: Iterator[bytes]) -> None:
        """Write a file that is not there yet, and compare its size; OSError if that fails."""
        with self._files.open(self._at(path), "wx") as target:
            target.set_pipelined(True)
            for piece in pieces:
                target.write(piece)
        found = self._files.stat(self._at(path)).st_size
        if found != size:
            message = f"{found} bytes are there in place of {size}"
            raise OSError(message)
        self._files.chmod(self._at(path), mode)
        with suppress(OverflowError, ValueError, OSError, TypeError):
            self._files.utime(self._at(path), (int(at), int(at)))

    def drop(self, path: bytes) -> None:
        with suppress(FileNotFoundError):
            self._files.remove(self._at(path))

    def close(self) -> None:
        self._files.close()


def _files(session: Session) -> SFTPClient:
    try:
        channel = session.channel(_AS_ROOT if session.address.sudo else "")
        channel.settimeout(SECONDS)
        return SFTPClient(channel)
    except (RefusedError, *BROKEN, SFTPError) as error:
        message = (
            f"{session.address} does not take files over SFTP: let its sshd have the subsystem sftp, or restore the "
            "volume."
        )
        raise NotBroughtError(message) from error


def _words(error: Exception) -> str:
    return getattr(error, "strerror", "") or str(error) or type(error).__name__
