"""One request over standard input, a socket that sudo leaves open; files come with it as descriptors."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from n2wbackup_run import VERSION, accounts, asking, family, image, kept, watching
from n2wbackup_run.accounts import RefusedError
from n2wbackup_run.script import Script

MOST_BYTES, MOST_FILES = 128 * 1024, 8
MOST_NAMED = 500  # processes in an answer: it is one message, which has a limit


def main() -> int:
    """Serve one request; 0 if it was carried out."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.setsid()
    os.chdir("/")
    os.umask(0o077)
    try:
        control = _control()
    except OSError:
        os.write(2, b"This is no command for people: the backup server starts it.\n")
        return 2
    try:
        _serve(control)
    except Exception as problem:  # noqa: BLE001 - the server must learn why
        why = str(problem) if isinstance(problem, RefusedError) else repr(problem)
        with contextlib.suppress(OSError):
            control.send(json.dumps({"said": "refused", "why": why}).encode())
        return 1
    return 0


def _control() -> socket.socket:
    """Take the socket from standard input, so that no child has it; OSError if there is none."""
    found = socket.socket(fileno=os.dup(0))
    os.set_inheritable(found.fileno(), False)  # noqa: FBT003 - as the name says
    if (found.family, found.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
        raise OSError
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    return found


def _serve(control: socket.socket) -> None:
    if os.geteuid() != 0:
        raise RefusedError("the launcher does not run as root: sudo must start it")
    accounts.refuse_caller(accounts.read(), accounts.caller())
    text, descriptors, _, _ = socket.recv_fds(control, MOST_BYTES, MOST_FILES)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - as the name says
    if not text:
        return
    request: dict[str, Any] = json.loads(text)
    what = request["do"]
    if what == "run":
        watching.start(control, Script(request, descriptors))
    elif what == "ask":
        asking.serve(control, str(request["account"]), request["uid"])
    elif what == "image":
        image.serve(control, request, descriptors, accounts.caller())
    else:
        control.send(json.dumps(_answer(what, request)).encode())


def _answer(what: str, request: dict[str, Any]) -> dict[str, Any]:
    if what == "hello":
        return {"said": "hello", "version": VERSION}
    if what == "leftovers":
        return {"said": "leftovers", "of": list(_leftovers(request.get("run")))}
    if what == "reap images":
        return {"said": "reaped", "keys": image.leftovers(request)}
    pid, start = int(request["pid"]), int(request["start"])
    entry = kept.entry(pid, start)
    if entry is None:
        found = family.row(pid)
        if found is not None and found.start == start:
            raise RefusedError(f"process {pid} is no script of this launcher's")
        return {"said": "gone"}
    if what == "wake":
        return _wake(entry)
    if what == "end":
        return _end(entry, float(request["wait"]))
    raise RefusedError(f"{what!r} is no request")


def _wake(entry: kept.Entry) -> dict[str, Any]:
    if entry.is_watched:
        family.send({entry.launcher}, signal.SIGCONT)
    entry.family.signal(signal.SIGCONT)
    return {"said": "awake"}


def _end(entry: kept.Entry, wait: float) -> dict[str, Any]:
    """End what is left of a script; before that, give it so many seconds to end by itself."""
    until = family.now() + wait
    while entry.family.living() and family.now() < until:
        time.sleep(family.LOOK_SECONDS)
    is_gone = entry.family.end()
    if entry.is_watched:
        family.send({entry.launcher}, signal.SIGCONT)  # it has the script's end to tell
    else:
        entry.close()
    return {"said": "gone" if is_gone else "stuck"}


def _leftovers(run: object = None) -> Any:  # noqa: ANN401 - a generator of objects for JSON
    """Yield what scripts that ended have left behind, and forget those that left nothing.

    A launcher that has yet to notice that its server is done with it hides nothing. `run`: only scripts of this
    run; None: all.
    """
    named = 0
    for entry in kept.entries():
        if entry.is_running:
            continue
        living = entry.family.living()
        if not living:
            if not entry.is_watched:
                entry.close()
            continue
        if run not in (None, entry.values["run"]):
            continue
        known = {name: entry.values[name] for name in ("pid", "start", "account", "run", "phase")}
        shown = sorted(living)[: MOST_NAMED - named]
        named += len(shown)
        yield {**known, "processes": [{"pid": pid, "name": _name(pid)} for pid in shown]}


def _name(pid: int) -> str:
    """Return a process's name; not its arguments, which may hold a password."""
    with contextlib.suppress(OSError):
        return Path("/proc", str(pid), "comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""
