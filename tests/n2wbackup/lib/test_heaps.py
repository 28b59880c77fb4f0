"""Threads share their heaps, so that a long-lived worker does not grow by what each of them gave back."""

import subprocess
import sys

import pytest

# Each thread takes memory of the C library; its heaps lie at multiples of 64 MiB.
PROGRAM = """
import sys, threading
from n2wbackup.lib import heaps
if sys.argv[1] == "shared" and not heaps.share_among_threads():
    sys.exit("no glibc")
together = threading.Barrier(9)
def take():
    kept = [bytearray(2000) for _ in range(2000)]
    together.wait()
    together.wait()
for _ in range(8):
    threading.Thread(target=take).start()
together.wait()
spans = [line.split()[0].split("-")[0] for line in open("/proc/self/maps") if "rw-p" in line and len(line.split()) == 5]
print(sum(1 for each in spans if int(each, 16) % (64 << 20) == 0))
together.wait()
"""


def heaps_of(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="heaps of glibc")
def test_many_threads_share_a_heap() -> None:
    alone, shared = heaps_of("alone"), heaps_of("shared")

    assert alone >= 8
    assert shared <= 2
