"""What runs on the instance of a bed: its processes, and the ways in which somebody there meddles with them."""

import signal
import subprocess
from pathlib import Path

from tests.ground import processes
from tests.system.faults.bed import Bed

_AS_SENT = """
size=${SSH_ORIGINAL_COMMAND##*head -c }
size=${size%%[!0-9]*}
text=$(head -c "$size"; echo .)
text=${text%.}
nonce=$(grep -aom1 'n2w_nonce=[^0-9a-f]*[0-9a-f]*' <<<"$text" | grep -oE '[0-9a-f]{32}')
start() { sh -c "$SSH_ORIGINAL_COMMAND"; }
"""
# Its name cannot be guessed, but this one reads along.
_SQUATTER = """
for place in /run /dev/shm; do
  mkdir -m 777 "$place/n2w-$nonce" && echo "$place/n2w-$nonce" >>{made} && chown 65534 "$place/n2w-$nonce"
done
{{ printf %s "$text"; exec cat; }} | start
"""
_TWICE = """
(
  until [[ -e /run/n2w-$nonce || -e /dev/shm/n2w-$nonce ]]; do sleep 0.02; done
  printf %s "$text" | start >{made} 2>&1
) </dev/null >/dev/null 2>&1 &
{{ printf %s "$text"; exec cat; }} | start
"""


def of_sshd(bed: Bed, wanted: bytes) -> list[int]:
    """Return the processes below the sshd whose command line has these bytes."""
    assert bed.sshd is not None
    found = processes.descendants(bed.sshd.process.pid)
    return [pid for pid in found if wanted in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - as short as it gets
            return file.read()
    except OSError:
        return b""


def wrapper(bed: Bed, run: str) -> list[int]:
    """Return the process that leads the others."""
    return [int(_logged(bed, run, "-main")[0])]


def heir(bed: Bed, run: str) -> list[int]:
    """Return the process that takes the wrapper's place."""
    return [int(_logged(bed, run, "-main")[1])]


def after_at_its_gate(bed: Bed, run: str) -> list[int]:
    """Return the process that becomes after."""
    return [int(_logged(bed, run, "-up after")[1])]


def _logged(bed: Bed, run: str, start: str) -> list[str]:
    """Return what follows in the first line of the far side's log that begins so."""
    lines = (bed.place_there(run) / "log").read_text().splitlines()
    return next(line for line in lines if line.startswith(start)).removeprefix(start).split()


def kill_connection(bed: Bed, _: str = "") -> None:
    """SIGKILL the sshd of the connection; the one that listens goes on."""
    bed.send(of_sshd(bed, b"sshd: ") or of_sshd(bed, b"sshd-session: "), signal.SIGKILL)


def stop(bed: Bed, pids: list[int]) -> None:
    """SIGSTOP processes there until `resume`."""
    assert pids
    bed.send(pids, signal.SIGSTOP)
    bed.stopped.update(pids)


def without_memory(bed: Bed, _: str) -> None:
    """Let the instance have no tmpfs that can be written to."""
    _only_in(bed, "/nowhere")


def with_full_memory(bed: Bed, _: str) -> None:
    """Let its only tmpfs be full."""
    place = bed.gates / "small"
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
    bed.helpers.callback(place.rmdir)
    bed.helpers.callback(lambda: subprocess.run(["umount", "-l", place], check=True))
    (place / "rest").write_bytes(b"x" * 64 * 1024)
    _only_in(bed, str(place))


def _only_in(bed: Bed, place: str) -> None:
    _reload(bed, f"SetEnv SHLVL=1 n2w_only={place}")


def squatted(bed: Bed, _: str) -> None:
    """Let somebody there make the run's folder first."""
    made = bed.gates / "made"
    made.touch()
    _in_between(bed, _SQUATTER.format(made=made))
    bed.helpers.callback(lambda: [*map(Path.rmdir, map(Path, made.read_text().split()))])


def sent_twice(bed: Bed, _: str) -> None:
    """Let the program of each session be started a second time, as soon as the first one is there."""
    _in_between(bed, _TWICE.format(made=bed.gates / "twice"))


def second_start(bed: Bed) -> str:
    """Return what was said to the second start."""
    return (bed.gates / "twice").read_text()


def _in_between(bed: Bed, text: str) -> None:
    script = bed.gates / "in-between"
    script.write_text(_AS_SENT + text)
    _reload(bed, f"ForceCommand /bin/bash {script}")


def _reload(bed: Bed, line: str) -> None:
    assert bed.sshd is not None
    bed.sshd.reload([line])
    bed.helpers.callback(bed.sshd.reload)
