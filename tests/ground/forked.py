"""`python -m tests.ground.forked`: runs management commands as forks of itself, which has loaded the product once.

Descriptor 0 is a listening socket. A caller connects, sends its words and two descriptors, for output and errors, and
gets the exit code. All ends as soon as whoever holds the other end of the pipe (the first argument) has died.
"""

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
from functools import partial

import django

from n2wbackup.processes import forking

MOST_BYTES = 1 << 20


def main(lifeline: int) -> None:
    django.setup()
    gc.collect()
    gc.freeze()
    listener = socket.socket(fileno=0)
    with selectors.DefaultSelector() as selector:
        selector.register(lifeline, selectors.EVENT_READ, sys.exit)
        selector.register(listener, selectors.EVENT_READ, partial(_begin, selector, listener))
        while True:
            for key, _ in selector.select():
                key.data()


def _begin(selector: selectors.BaseSelector, listener: socket.socket) -> None:
    caller, _ = listener.accept()
    text, (out, err), _, _ = socket.recv_fds(caller, MOST_BYTES, 2)
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, given in enumerate((nothing, out, err)):
            os.dup2(given, number)
        os.closerange(3, MOST_BYTES)
        forking.become(forking.Words("manage", json.loads(text)), dict(os.environ), parent)
    os.close(out)
    os.close(err)
    ended = os.pidfd_open(pid)
    selector.register(ended, selectors.EVENT_READ, partial(_end, selector, caller, pid, ended))


def _end(selector: selectors.BaseSelector, caller: socket.socket, pid: int, ended: int) -> None:
    selector.unregister(ended)
    os.close(ended)
    _, status = os.waitpid(pid, 0)
    with caller, contextlib.suppress(OSError):  # a caller that waits no longer
        caller.send(str(os.waitstatus_to_exitcode(status)).encode())


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main(int(sys.argv[1]))
