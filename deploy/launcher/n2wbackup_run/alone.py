"""The launcher's images for a server that is root: no sudo and no list of accounts, otherwise the same."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

from n2wbackup_run import image
from n2wbackup_run.main import MOST_BYTES, MOST_FILES


def main() -> int:
    """Serve one request over standard input, for whoever runs this as root."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    try:
        text, descriptors, _, _ = socket.recv_fds(control, MOST_BYTES, MOST_FILES)
        request = json.loads(text)
        if request["do"] == "image":
            image.serve(control, request, descriptors, os.getuid())
        else:
            words = {"said": "reaped", "keys": image.leftovers(request)}
            control.send(json.dumps(words).encode())
    except Exception as problem:  # noqa: BLE001 - the server must learn why
        control.send(json.dumps({"said": "refused", "why": str(problem) or repr(problem)}).encode())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
