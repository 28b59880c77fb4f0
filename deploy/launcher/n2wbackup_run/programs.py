"""Programs on an image: each sees the image, the server's programs, a /tmp that they share, and nothing else.

A program has no network, no more rights than an account of the image has on it, and none outside: its uid is one that
no account of the server has, and only the mount of the image maps it to the image's.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import stat
import subprocess
import threading
import time
from typing import Any

from n2wbackup_run import kernel
from n2wbackup_run.accounts import RefusedError

# Beyond all ranges that distributions, containers and directories give to accounts.
FIRST_UID, UIDS = 1_900_000_000, 1 << 24
MOST_OUTPUT = 256 * 1024
MOST_PROGRAMS, MOST_FILES, MOST_FILE_BYTES = 64, 32, 1 << 20
ROOT = "/tree"
_MEMORY, _PROCESSES, _OPEN_FILES = 4 << 30, 512, 4096
_SHOWN = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_OF_ETC = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "localtime",
    "timezone",
    "mysql",
    "my.cnf",
    "my.cnf.d",
    "locale.alias",
)
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "LANG": "C.UTF-8",
    "HOME": "/tmp",  # noqa: S108 - of the room
}


class Room:
    """The tree that programs see, made once for an image."""

    def __init__(self, place: str, tree: str) -> None:
        """Nothing is mounted yet."""
        self.root, self._tree = f"{place}/room", tree
        self._is_made = False
        self._lock = threading.Lock()

    def make(self) -> None:
        """Mount all that programs see; again, it does nothing."""
        with self._lock:
            if not self._is_made:
                self._mount()
                self._is_made = True

    def _mount(self) -> None:
        root = self.root
        os.mkdir(root)  # noqa: PTH102 - beside the others
        kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID, "mode=755,size=64k")
        for each in _SHOWN:
            if os.path.islink(each):  # noqa: PTH114 - beside the others
                os.symlink(os.readlink(each), root + each)  # noqa: PTH115, PTH211 - as above
            elif os.path.isdir(each):  # noqa: PTH112 - as above
                os.mkdir(root + each)  # noqa: PTH102 - as above
                kernel.bind(each, root + each)
        for each in ("dev", "etc", "proc", "proof", "tmp", "run", "var", "tree"):
            os.mkdir(f"{root}/{each}", 0o755)  # noqa: PTH102 - as above
        self._make_devices()
        for each in ("tmp", "dev/shm"):
            self._make_scratch(each)
        os.symlink("../tmp", f"{root}/var/tmp")  # noqa: PTH211, S108 - as above
        for name in _OF_ETC:
            self._show_of_etc(name)
        kernel.mount(
            "proc", f"{root}/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        )
        if self._tree:
            users = _users()
            try:
                kernel.mapped(self._tree, root + ROOT, users)
            finally:
                os.close(users)

    def _show_of_etc(self, name: str) -> None:
        source, target = f"/etc/{name}", f"{self.root}/etc/{name}"
        if os.path.isdir(source):  # noqa: PTH112 - as above
            os.mkdir(target)  # noqa: PTH102 - as above
        elif os.path.isfile(source):  # noqa: PTH113 - as above
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        else:
            return
        kernel.bind(source, target)

    def _make_devices(self) -> None:
        folder = f"{self.root}/dev"
        kernel.mount(
            "tmpfs", folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NOEXEC, "mode=755,size=64k"
        )
        for name, (major, minor) in _DEVICES.items():
            os.mknod(f"{folder}/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
            os.chmod(f"{folder}/{name}", 0o666)  # noqa: PTH101, S103 - as on every machine
        os.symlink("/proc/self/fd", f"{folder}/fd")  # noqa: PTH211 - as above
        os.mkdir(f"{folder}/shm")  # noqa: PTH102 - as above

    def _make_scratch(self, name: str) -> None:
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("tmpfs", f"{self.root}/{name}", "tmpfs", flags, "mode=1777,size=1g")


def _users() -> int:
    """Return a user namespace in which the image's accounts are ours, from `FIRST_UID` on."""
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(OSError):
            kernel.unshare(kernel.CLONE_NEWUSER)
            os.write(writes, b"x")
            signal.pause()
        os._exit(1)
    os.close(writes)
    try:
        if not os.read(reads, 1):
            raise RefusedError("this kernel makes no user namespace: snapshots need one")
        for kind in ("uid", "gid"):
            with open(f"/proc/{pid}/{kind}_map", "w", encoding="ascii") as file:  # noqa: PTH123 - as above
                file.write(f"0 {FIRST_UID} {UIDS}\n")
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(reads)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class _Output:
    """The end of what a program prints."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - a pipe
        self._stream, self._kept = stream, b""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                piece = os.read(self._stream.fileno(), 65536)
                if not piece:
                    return
                self._kept = (self._kept + piece)[-MOST_OUTPUT:]

    def text(self) -> str:
        """Return it so that JSON can carry every byte."""
        return self._kept.decode("latin-1")


class Program:
    """A started program."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.process, self._begun = process, time.monotonic()
        self._until, self._ended_at = self._begun + seconds, 0.0
        self.is_late = False
        self._out, self._err = _Output(process.stdout), _Output(process.stderr)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        try:
            self.process.wait(max(0.0, self._until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.is_late = True
            self.kill()
            self.process.wait()
        self._ended_at = time.monotonic()
        self.kill()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Signal all of its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def wait(self, seconds: float) -> None:
        """Wait for its end at most so long, then kill it."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()

    def said(self) -> dict[str, Any]:
        code = self.process.poll()
        if code is not None:
            self.kill()  # what it left running keeps its output open
            for each in (self._out, self._err):
                each.thread.join(2)
        lasted = (self._ended_at or time.monotonic()) - self._begun
        return {
            "exit": code,
            "stdout": self._out.text(),
            "stderr": self._err.text(),
            "seconds": lasted,
            "late": self.is_late,
        }


def start(room: Room, request: dict[str, Any], device: str = "") -> Program:
    """Start a program as a request says. `device`: the node of a disk that it may read, as /proof/disk."""
    room.make()
    argv = [str(each) for each in request["argv"]]
    around = {str(name): str(value) for name, value in request.get("env", {}).items()}
    uid = int(request["uid"])
    if not argv or not 0 <= uid < UIDS:
        raise RefusedError(f"no program can run as the image's uid {uid}")
    files = {
        str(name): str(text).encode("latin-1") for name, text in request.get("files", {}).items()
    }
    if len(files) > MOST_FILES or any(len(each) > MOST_FILE_BYTES for each in files.values()):
        raise RefusedError("too much is to be laid beside the program")
    if any("/" in name or name in ("", ".", "..") for name in files):
        raise RefusedError("a file beside the program has no plain name")
    own = os.stat(device).st_rdev if device else 0  # noqa: PTH116 - beside the others

    def become() -> None:
        _enter(room.root, files, own, FIRST_UID + uid)

    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**_ENVIRONMENT, **around},
            preexec_fn=become,  # noqa: PLW1509 - no thread here holds a lock that it needs
            start_new_session=True,
            close_fds=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise RefusedError(f"{argv[0]} cannot be started: {why}") from None
    return Program(process, float(request["seconds"]))


def _enter(root: str, files: dict[str, bytes], device: int, uid: int) -> None:
    """Enter the room, with namespaces of its own, and become the account: in the forked child."""
    kernel.unshare(
        kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    )
    kernel.make_private()
    flags = kernel.MS_NOSUID | (0 if device else kernel.MS_NODEV)
    kernel.mount("tmpfs", f"{root}/proof", "tmpfs", flags, "mode=755,size=40m")
    for name, content in files.items():
        file = os.open(f"{root}/proof/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o755)
        os.write(file, content)
        os.fchmod(file, 0o755)
        os.close(file)
    line = f"proof:x:{uid}:{uid}::/tmp:/bin/sh\n".encode()
    for name, content in (("passwd", line), ("group", f"proof:x:{uid}:\n".encode())):
        file = os.open(f"{root}/proof/.{name}", os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(file, content)
        os.fchmod(file, 0o644)
        os.close(file)
        target = f"{root}/etc/{name}"
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        kernel.bind(f"{root}/proof/.{name}", target)
    if device:
        os.mknod(f"{root}/proof/disk", stat.S_IFBLK | 0o400, device)
        os.chown(f"{root}/proof/disk", uid, uid)
    kernel.change_root(root)
    os.chdir("/tmp")  # noqa: S108 - of the room
    os.umask(0o022)
    for kind, most in (
        (resource.RLIMIT_DATA, _MEMORY),
        (resource.RLIMIT_NPROC, _PROCESSES),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
