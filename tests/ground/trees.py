"""Folders within folders, deeper than any walk by recursion goes."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEVELS = 1100


@contextmanager
def deep(within: Path) -> Iterator[None]:
    """Have them for the block."""
    at = os.open(within, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for _ in range(LEVELS):
            os.mkdir("d", dir_fd=at)
            inner = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = inner
        yield
    finally:
        os.close(at)
        subprocess.run(["rm", "-rf", "--", str(within / "d")], check=True)
