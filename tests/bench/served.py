"""A whole server for the bench: `serve` with all its processes, a simulated AWS, and access to its database."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from n2wbackup.lib import home as homes
from tests.bench import processes
from tests.bench.contestants import PROJECT, Warm
from tests.ground.processes import free_port, wait_until

START_SECONDS = 60.0
STOP_SECONDS = 60.0
ROLES = ("web", "beat", "worker freeze", "worker tick", "worker work", "watchdog", "broker")


@dataclass(slots=True)
class Served:
    """A running server. `process` is its supervisor."""

    home: Path
    aws: SimulatedAws
    environment: dict[str, str]
    office: Warm
    process: subprocess.Popen[bytes] | None = None

    def order(self, what: str, **given: object) -> dict[str, Any]:
        """Send an order to the office; see tests/bench/office."""
        return self.office.order({"do": what, **given})

    def enter(self, owner: str, names: Sequence[str], volumes: int) -> dict[str, str]:
        """Enter policies of one owner, each with its own instance; return the instances by policy."""
        specs = [VolumeSpec() for _ in range(volumes)]
        instances = {name: self.aws.add_instance(volumes=specs).instance_id for name in names}
        self.order("enter", owner=owner, policies=instances)
        return instances

    def script(self, owner: str, name: str, text: str) -> None:
        """Put a script into the owner's folder."""
        folder = self.home / "scripts" / owner
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def start(self) -> None:
        """Start the server, and return when each of its processes is working."""
        with (self.home / "serve.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"],
                cwd=PROJECT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_ready, seconds=START_SECONDS, what="the server's processes")

    def _is_ready(self) -> bool:
        shown = [processes.title(pid) for pid in self.tree()]
        return all(any(title.startswith(f"n2wbackup {role}") for title in shown) for role in ROLES)

    def tree(self) -> list[int]:
        """Return the processes of the server, its guards included; not the simulated AWS."""
        return processes.tree(self.process.pid) if self.process else []

    def cpu_seconds(self) -> float:
        """Return the server's CPU time since its start."""
        return sum(processes.cpu_seconds(self.tree()).values())

    def aws_cpu_seconds(self) -> float:
        """Return the CPU time of the simulated AWS."""
        return sum(processes.cpu_seconds([self.aws.pid]).values())

    def stop(self) -> None:
        """End the server."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in processes.tree(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.wait()


@contextmanager
def serving(*, pending_seconds: float) -> Iterator[Served]:
    """Yield a server that is not started yet; at the end of the block everything is stopped and removed."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="n2wbackup-bench-")))
        stack.callback(_forget, home)
        aws = stack.enter_context(
            SimulatedAws(
                home / "aws",
                pending_seconds=pending_seconds,
                rate_buckets={},
                per_volume_interval_seconds=0,
                pending_per_volume=0,
            )
        )
        environment = environment_of(aws, home)
        office = stack.enter_context(
            Warm("tests.bench.office", [], environment, home / "office.log")
        )
        served = Served(home, aws, environment, office)
        stack.callback(served.stop)
        yield served


def _forget(home: Path) -> None:
    """Remove the server's files in memory; its last processes may still use them."""
    time.sleep(0.1)
    shutil.rmtree(homes.runtime_of(home), ignore_errors=True)


def environment_of(aws: SimulatedAws, home: Path) -> dict[str, str]:
    """Return the environment of the server, without any variable of the caller that could make a difference."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {
        **kept,
        **aws.environment,
        "LC_ALL": "C.UTF-8",  # the decimal point of a stamp depends on it
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
        "N2W_HOME": str(home),
        "N2W_PORT": str(free_port()),
        "N2W_RUN_SCRIPTS_AS": "self",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
