"""The Protocols through which the services read what is in a snapshot: its files, and programs that run on them.

A snapshot is opened as an image: its blocks are fetched when they are read, what is written goes to an overlay, and
the snapshot itself is never changed. Paths are bytes, without a slash at their begin; b"" is the image's top folder.
No path leads out of the image, and none through a symbolic link.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from policies.ports import Credentials

Kind = Literal["file", "folder", "link", "other"]
LATER = 3600.0


@dataclass(frozen=True, slots=True)
class Order:
    """Which snapshot is opened, under which name, and how much it may use.

    `key` is a UUID as text: everything that belongs to the image bears it. After `seconds` the image is closed, whoever
    uses it. `part`: of several file systems, which one (as in `About.parts`); -1: the largest.
    """

    key: str
    region: str
    snapshot_id: str
    credentials: Credentials = field(default_factory=Credentials, repr=False)
    seconds: float = LATER
    overlay_bytes: int = 2 * 1024**3
    part: int = -1


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the disk: the whole of it, or a partition. `file_system`: ext4, xfs, or what else it seems to be."""

    number: int
    file_system: str
    size_bytes: int
    label: str = ""
    is_readable: bool = True


@dataclass(frozen=True, slots=True)
class About:
    """What is known of an opened image.

    `root`: where programs of `run` find the tree. `needs_recovery` and `replay_bytes` tell the journal before it was
    replayed into the overlay: -1 if its size cannot be told. `seconds` until the tree could be read.
    """

    key: str
    root: str
    parts: tuple[Part, ...]
    part: int
    file_system: str
    needs_recovery: bool
    replay_bytes: int
    size_bytes: int
    used_bytes: int
    blocks_read: int
    blocks_of_snapshot: int
    overlay_used_bytes: int
    seconds: float
    ends_at: float  # UNIX seconds


@dataclass(frozen=True, slots=True)
class Entry:
    """What a folder holds under a name; `path` is from the image's top. `target` of a link is only shown."""

    path: bytes
    kind: Kind
    size: int = 0
    modified_at: float = 0.0  # UNIX seconds
    mode: int = 0
    uid: int = 0
    gid: int = 0
    target: bytes = b""

    @property
    def name(self) -> bytes:
        return self.path.rpartition(b"/")[2]


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a folder, in the order of the bytes of its names; `more`: there are names after the last one."""

    entries: tuple[Entry, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found; not `complete`: it was ended by its limits, and there may be more."""

    entries: tuple[Entry, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended, and what it printed, cut to its last 256 KiB each.

    `exit` is negative for a signal, as subprocess says it; None: it still runs. `late`: its seconds were over.
    """

    exit: int | None
    stdout: bytes
    stderr: bytes
    seconds: float = 0.0
    late: bool = False


class Tree(Protocol):
    """An opened image. Its methods may raise the errors of `policies.domain.errors` that begin with Image or NoSuch."""

    key: str

    def about(self) -> About:
        """Return what is known of it now."""

    def listed(self, path: bytes = b"", after: bytes = b"", most: int = 500) -> Listing:
        """Return so many names of the folder, those after the name `after`."""

    def stat(self, path: bytes) -> Entry:
        """Return what is at the path."""

    def read(self, path: bytes, most: int = -1, start: int = 0) -> Iterator[bytes]:
        """Yield the file's content from `start` on in pieces, or so many bytes of that. Only a file can be read."""

    def zipped(self, paths: Sequence[bytes]) -> Iterator[bytes]:
        """Yield a zip of the files and folders. Links, devices and sockets are left out, and named in a text in it.

        No name in it leads out of the folder where it is unpacked; no file in it is setuid.
        """

    def found(self, words: str, most: int = 200, path: bytes = b"") -> Found:
        """Return what bears all the words in its name, whatever their case, below the folder."""

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        uid: int,
        seconds: float,
        files: Mapping[str, bytes] | None = None,
    ) -> Ran:
        """Run a program of this server on the tree, and return how it ended.

        It sees the image at `About.root`, the server's programs read-only, its own /tmp, which all programs of an image
        share, and nothing else of the server. It has no network. `uid` is an account as the *image* counts: the program
        has that account's rights on the image's files, and none outside. `files` are laid into /proof before it
        starts, by their names, as executable texts. What it leaves running is ended with it.
        """

    def started(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        uid: int,
        seconds: float,
        files: Mapping[str, bytes] | None = None,
    ) -> int:
        """Start a program as `run` does and return its number at once."""

    def said(self, number: int) -> Ran:
        """Return what a started program has printed until now."""

    def ended(self, number: int, grace_seconds: float = 10.0) -> Ran:
        """Ask a started program to end (SIGTERM), kill it after the grace, and return how it ended."""

    def checked(self, seconds: float) -> Ran:
        """Check the file system as the replayed journal left it (`e2fsck -fn`, `xfs_repair -n`); exit 0: it is whole.

        Nothing may be read or run meanwhile. It reads all the metadata, so more blocks than anything else.
        """

    def close(self) -> None:
        """Close the image; nothing of it is left. Again, it does nothing."""


class Images(Protocol):
    """Opens snapshots as images."""

    def why_not(self) -> str:
        """Return why this server can open no image, and what to do; "" if it can."""

    def opened(self, order: Order) -> Tree:
        """Open a snapshot and return its tree. Errors: those of AWS, and those that begin with Image.

        It goes on when this process ends, until its seconds are over: `again` finds it. One that is open under the
        same key is closed before.
        """

    def again(self, key: str) -> Tree:
        """Return the tree of an image that is open, or being opened: then only `close` is of use.

        ImageGoneError: it is closed, or there never was one.
        """

    def keys(self) -> tuple[str, ...]:
        """Return the keys of the images that are open."""

    def reap(self) -> int:
        """Remove what closed and killed images have left behind; return of how many."""
