"""The end of the demo, wherever the signal arrives in Python."""

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import os, signal, sys, time
from n2wbackup.demo.ending import Ended, Ending

ending = Ending()


class Dying:
    def __del__(self):
        {in_del}


try:
    {body}
except Ended as ended:
    sys.exit(ended.exit_code)
"""
TERMINATE = "os.kill(os.getpid(), signal.SIGTERM)"


def _run(body: str, in_del: str = "pass") -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body, in_del=in_del)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ran.returncode, ran.stderr


def test_a_signal_ends_a_wait() -> None:
    assert _run(f"{TERMINATE}; time.sleep(20)") == (128 + signal.SIGTERM, "")


def test_a_signal_that_arrives_in_a_finalizer_is_not_lost() -> None:
    body = "Dying(); time.sleep(20)"

    assert _run(body, in_del=TERMINATE) == (128 + signal.SIGTERM, "")


def test_what_else_goes_wrong_in_a_finalizer_is_still_told() -> None:
    code, stderr = _run("Dying()", in_del="raise ValueError('seen')")

    assert code == 0
    assert "ValueError: seen" in stderr


def test_an_end_that_is_under_way_is_not_interrupted() -> None:
    body = f"""
    try:
        {TERMINATE}
        time.sleep(20)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        sys.stderr.write("ended in order")
"""

    assert _run(body) == (128 + signal.SIGTERM, "ended in order")
