"""Small shell programs that run as another Linux account, for a server that is root and for one that is not.

What is secret goes by standard input or through memory that only the account reads, never by a command line.
"""

import base64
import json
import os
import shlex
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from scripts_admin.guard import launching
from scripts_admin.guard.launching import LaunchError
from scripts_admin.guard.spool import RunAs
from scripts_admin.linux_accounts import AccountError

_PATH = "/usr/bin:/bin"
_NAME = "n2wbackup-ssh"
Done = tuple[int, bytes, bytes]  # exit code, output, errors


def run(
    program: str, identity: RunAs | None, words: Sequence[str], sent: bytes, seconds: float
) -> Done:
    """Run the program as the account (None: as this process's own). AccountError if it does not end in time."""
    if identity is not None and launching.is_needed(identity):
        return _launched(program, identity, words, sent, seconds)
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", program, _NAME, *words],
            input=sent,
            capture_output=True,
            check=False,
            timeout=seconds,
            cwd="/",
            env={"PATH": _PATH, "LC_ALL": "C"},
            start_new_session=True,
            user=identity.uid if identity else None,
            group=identity.gid if identity else None,
            extra_groups=identity.groups if identity else None,
        )
    except subprocess.TimeoutExpired:
        raise AccountError(
            f"{words[0]} did not answer for {seconds:g} s: look at its disk."
        ) from None
    return done.returncode, done.stdout, done.stderr


def _launched(
    program: str, identity: RunAs, words: Sequence[str], sent: bytes, seconds: float
) -> Done:
    """Have the launcher run it: the whole program, with its words and its input, is one file in memory."""
    set_words = " ".join(["set", "--", *map(shlex.quote, words)])
    told = base64.b64encode(sent).decode()
    text = f"#!/bin/sh\nLC_ALL=C; export LC_ALL\n{set_words}\nprintf %s '{told}' | base64 -d | (\n{program})\n"
    files = [os.memfd_create(name) for name in ("program", "output", "errors")]
    gate_read, gate = os.pipe()
    try:
        os.write(files[0], text.encode(errors="surrogateescape"))
        os.lseek(files[0], 0, os.SEEK_SET)
        code = _through_launcher(
            identity, [gate_read, files[2], files[1], files[2], files[0]], gate, seconds
        )
        return code, _content(files[1]), _content(files[2])
    except LaunchError as error:
        raise AccountError(f"Nothing could be done as {identity.name}: {error}.") from error
    finally:
        for descriptor in (*files, gate_read, gate):
            os.close(descriptor)


def _through_launcher(identity: RunAs, given: list[int], gate: int, seconds: float) -> int:
    """Return the exit code; LaunchError if the launcher refuses or the program does not end in time."""
    request = {
        "do": "run",
        "account": identity.name,
        "uid": identity.uid,
        "run": "ssh",
        "phase": "files",
        "folder": "/",
        "path": _NAME,
        "environment": {"PATH": _PATH, "LANG": "C.UTF-8"},
        "timeout": seconds,
        "ends_with_caller": True,
        "has_file": False,
        "has_copy": True,
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.settimeout(launching.START_SECONDS + seconds)
        socket.send_fds(ours, [json.dumps(request).encode()], given)
        process = subprocess.Popen(
            launching.COMMAND,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=launching.ENVIRONMENT,
            start_new_session=True,
        )
        theirs.close()
        try:
            launching.heard(ours)  # it stands at its gate
            ours.send(b'{"order": "released"}')
            os.write(gate, b'{"arguments": [], "environment": {}}\n')
            while (told := launching.heard(ours))["said"] != "ended":
                if told["said"] == "late":
                    raise LaunchError(f"it did not end within {seconds:g} s")
            return int(told["code"])
        finally:
            ours.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(launching.START_SECONDS)


def _content(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0)
