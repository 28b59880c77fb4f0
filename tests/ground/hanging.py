"""A folder whose file system answers nothing any more, as a share whose server is away."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import components

_PROGRAM = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
place, options = os.fsencode(sys.argv[1]), b"rootmode=40000,user_id=0,group_id=0,allow_other"
silent = os.open("/dev/fuse", os.O_RDWR)
if libc.mount(b"hanging", place, b"fuse", 0, b"fd=%d,%s" % (silent, options)):
    sys.exit(os.strerror(ctypes.get_errno()))
print("hangs", flush=True)
sys.stdin.read()
libc.umount2(place, 2)
"""


@contextlib.contextmanager
def hanging(folder: Path, seen_by: int | None = None) -> Iterator[None]:
    """Let the folder hang, as the process `seen_by` sees it; with the block's end, all who wait for it go on."""
    components.needs_root("a file system that hangs")
    if not Path("/dev/fuse").exists():
        pytest.skip("this machine has no FUSE")
    view = ["nsenter", f"--mount=/proc/{seen_by or os.getpid()}/ns/mnt", "--"]
    command = [*view, "/usr/bin/python3", "-c", _PROGRAM, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        try:
            yield
        finally:
            process.stdin.close()
