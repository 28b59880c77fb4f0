"""An image of a snapshot, in namespaces of its own: whoever of its processes dies, nothing of it is left.

The launcher waits outside. Its child is the first process of a pid namespace: with it die all others, and with them the
mounts and the loop device, which nothing else holds. It ends when the server's end of the socket is
closed, when its time is over, and when the launcher is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from n2wbackup_run import disks, hands, kernel
from n2wbackup_run.accounts import RefusedError

PLACE = "/run/n2wbackup-images"
MOST_SECONDS, MOST_GIB = 86_400.0, 64 * 1024
SOCKETS = 4
LINGER_SECONDS = 5.0
# An image's key, and the home of the server that has opened it: a machine may have several servers.
_KEY = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_HOME = r"[0-9a-f]{12}"
_NAME = re.compile(f"({_KEY})-({_HOME})")


def missing() -> str:
    """Return what this machine lacks to open snapshots, and what to do; "" if nothing."""
    for path, package in (
        (disks.NBDKIT, "nbdkit and nbdkit-plugin-python"),
        (disks.NBDFUSE, "libnbd-bin"),
        ("/usr/bin/fusermount3", "fuse3"),
    ):
        if not Path(path).exists():
            return f"{path} is missing: install the package {package}"
    for path in ("/dev/fuse", "/dev/loop-control"):
        if not Path(path).exists():
            return f"{path} is missing: load the kernel's modules fuse and loop"
    return ""


def serve(
    control: socket.socket, request: dict[str, Any], descriptors: list[int], caller: int
) -> None:
    """Open an image, say so, and keep it until its end."""
    lacking = missing()
    if lacking:
        raise RefusedError(lacking)
    if not _NAME.fullmatch(f"{request['key']}-{request['home']}"):
        raise RefusedError("the request names no image")
    if len(descriptors) != 2 + SOCKETS:
        raise RefusedError("the request came without its files")
    seconds = min(float(request["seconds"]), MOST_SECONDS)
    if not 0 < int(request["size"]) <= MOST_GIB << 30:
        raise RefusedError("the request names no size")
    with contextlib.suppress(FileExistsError):
        os.mkdir(PLACE, 0o700)  # noqa: PTH102 - as short as it gets
    kernel.unshare(kernel.CLONE_NEWPID)
    alive, lives = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(lives)
        _live(control, request, descriptors, caller, alive)
    os.close(alive)
    for each in descriptors:
        os.close(each)
    _keep(control, pid, time.monotonic() + seconds)


def _keep(control: socket.socket, pid: int, until: float) -> None:
    """Wait for the first process's end; end it when the server is gone or the time is over."""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(control, select.POLLIN)
    is_over = False
    while not is_over:
        left = until - time.monotonic()
        for descriptor, _ in poll.poll(max(0.0, left) * 1000 + 1):
            is_over = is_over or descriptor == ended or not _received(control)
        is_over = is_over or left <= 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not select.select([ended], [], [], LINGER_SECONDS)[0]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        control.send(json.dumps({"said": "closed"}).encode())


def _received(control: socket.socket) -> bytes:
    try:
        return control.recv(4096)
    except OSError:
        return b""


def _live(
    control: socket.socket,
    request: dict[str, Any],
    descriptors: list[int],
    caller: int,
    alive: int,
) -> NoReturn:
    """Be the first process of the pid namespace: start the hands, collect the dead, end with the hands."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if select.select([alive], [], [], 0)[0]:  # the launcher died before
            os._exit(0)
        signal.signal(
            signal.SIGTERM, lambda *_: os.kill(hand, signal.SIGTERM) if hand else os._exit(0)
        )
        hand = 0
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
        kernel.make_private()
        kernel.mount(
            "tmpfs", PLACE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NOEXEC, "mode=700,size=16m"
        )
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
        hand = os.fork()
        if not hand:
            _hold(control, request, descriptors, caller)
        control.close()
        for each in descriptors:
            os.close(each)
        while True:
            pid, _ = os.wait()
            if pid == hand:
                break
    except BaseException as problem:  # noqa: BLE001 - it has nobody to raise it to
        _refuse(control, problem)
    finally:
        os._exit(0)


def _hold(
    control: socket.socket, request: dict[str, Any], descriptors: list[int], caller: int
) -> NoReturn:
    """Be the hands: open the image, tell the server, and answer."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.umask(0o022)  # programs look into what is made here; nobody else can
        for each in descriptors:
            os.set_inheritable(each, False)  # noqa: FBT003 - as the name says
        listening = socket.socket(fileno=descriptors[0])
        image = hands.Image(PLACE, request)
        owner = os.fstat(descriptors[1])
        image.open(descriptors[2:], descriptors[1], caller, owner.st_gid)
        control.send(json.dumps({"said": "open", "about": image.about()}).encode())
        signal.signal(signal.SIGTERM, lambda *_: _close(control, image, ""))
        threading.Thread(target=hands.serve, args=(image, listening), daemon=True).start()
        while True:
            time.sleep(hands.LOOK_SECONDS)
            why = image.why_end()
            if why:
                _close(control, image, why)
    except BaseException as problem:  # noqa: BLE001 - as above
        _refuse(control, problem)
    finally:
        os._exit(0)


def _close(control: socket.socket, image: hands.Image, why: str) -> NoReturn:
    with contextlib.suppress(OSError):
        control.send(json.dumps({"said": "ending", "why": why}).encode())
    image.end()
    os._exit(0)


def _refuse(control: socket.socket, problem: BaseException) -> None:
    why = str(problem) if isinstance(problem, RefusedError) else repr(problem)
    kind = "damaged" if isinstance(problem, disks.DamagedError) else "refused"
    with contextlib.suppress(OSError):
        control.send(json.dumps({"said": "failed", "kind": kind, "why": why}).encode())


# What is left after everything else failed


def leftovers(request: dict[str, Any]) -> list[str]:
    """End the processes and loop devices of a home's images that are not among its living; return their keys."""
    home, living = str(request["home"]), [str(each) for each in request["living"]]
    found = set()
    for pid, key in _processes(home):
        if key not in living:
            found.add(key)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    for node in Path("/sys/block").glob("loop*/loop"):
        key = _end_loop(f"/dev/{node.parent.name}", home, living)
        found |= {key} - {""}
    return sorted(found)


def _processes(home: str) -> list[tuple[int, str]]:
    """Return those of the home's disks: their arguments or their environment name the image."""
    found = []
    for each in Path("/proc").iterdir():
        if not each.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = (each / "cmdline").read_bytes().split(b"\0")
            if words and os.fsdecode(words[0]) in (disks.NBDKIT, disks.NBDFUSE):
                text = (each / "cmdline").read_bytes() + (each / "environ").read_bytes()
                name = _NAME.search(os.fsdecode(text))
                if name and name[2] == home:
                    found.append((int(each.name), name[1]))
    return found


def _end_loop(node: str, home: str, living: list[str]) -> str:
    with contextlib.suppress(OSError):
        device = os.open(node, os.O_RDWR | os.O_CLOEXEC)
        try:
            name = _NAME.fullmatch(kernel.loop_name(device).partition("n2wbackup-")[2])
            if name and name[2] == home and name[1] not in living:
                kernel.clear_loop(device)
                return name[1]
        finally:
            os.close(device)
    return ""
