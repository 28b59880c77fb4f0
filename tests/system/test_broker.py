"""A broker that does not answer: it is neither up nor away."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import processes, valkey
from tests.ground.valkey import Valkey

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(50)]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 40  # without a limit of its own a sender waits for good
SENDER = """
import django, sys, uuid
django.setup()
from policies.adapters import broker
for line in sys.stdin:
    broker.send(broker.COMPLETE, uuid.uuid4())
    print("on", flush=True)
"""


@pytest.fixture
def broker() -> Iterator[Valkey]:
    with processes.folder() as folder, valkey.running(folder) as server:
        yield server
        os.kill(server.process.pid, signal.SIGCONT)


@pytest.fixture
def sender(broker: Valkey, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run what sends one hint for each line that it reads."""
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "n2wbackup.settings",
        "N2W_HOME": str(tmp_path),
        "REDIS_URL": f"redis+socket://{broker.socket}",
    }
    with subprocess.Popen(
        [sys.executable, "-c", SENDER],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_who_sends_a_hint_goes_on_although_the_broker_hangs(
    broker: Valkey, sender: subprocess.Popen[str]
) -> None:
    assert sender.stdin
    assert sender.stdout
    sender.stdin.write("\n")
    sender.stdin.flush()
    assert sender.stdout.readline() == "on\n"
    os.kill(broker.process.pid, signal.SIGSTOP)

    out, err = sender.communicate("\n", timeout=PATIENCE_SECONDS)

    assert (out, sender.returncode) == ("on\n", 0), err
