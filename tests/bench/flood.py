"""(d) Many policies due in the same second, compared with a shell script that does the same with the aws CLI."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from n2wbackup.demo.aws import VolumeSpec
from tests.bench import processes
from tests.bench.contestants import PROJECT, ContestantError
from tests.bench.request import REGION
from tests.bench.served import Served, serving
from tests.ground.processes import wait_until

VOLUMES = 4
OWNERS = 10
WARM_UP_OWNER, WARM_UP_RUNS = "warm", 4
PHASES = ("before", "after", "complete")
SCRIPT = "#!/bin/bash\n:\n"
END_SECONDS = 900.0
LOOK_SECONDS = 1.0
WHOLE = "application, thawed by worker"


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of policies and of runs of the shell script, and the seconds that snapshots are pending."""

    policies: int
    scripts: int
    pending_seconds: float


@dataclass(slots=True)
class Measured:
    """The results, in seconds. `cpu`: the CPU time of the server for all runs, by kind of process."""

    size: Size
    thawed: float = 0.0
    ended: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    aws_cpu: float = 0.0
    script_cpu: list[float] = field(default_factory=list)
    script_time: list[float] = field(default_factory=list)
    # Of one run in one process: statements, commits, calls, cpu (seconds).
    one: dict[str, float] = field(default_factory=dict)

    @property
    def cpu_a_run(self) -> float:
        """Return the CPU seconds of the whole server for one run."""
        return sum(self.cpu.values()) / self.size.policies


def measure(size: Size) -> Measured:
    """Make all policies due at once, follow their runs to the end, then run the script."""
    measured = Measured(size)
    with serving(pending_seconds=size.pending_seconds) as served:
        owners = enter(served, size)
        served.start()
        warm_up(served)
        with _accounted(served, measured):
            due_at = served.order("make_due", owners=owners)["at"]
            wait_until(
                lambda: _is_over(served, owners, size.policies),
                seconds=END_SECONDS,
                what="the ends of all runs",
            )
            measured.ended = time.time() - due_at
        outcome = served.order("outcome", owners=owners)
        if outcome["counts"] != {WHOLE: size.policies}:
            message = f"Not every run was whole: {outcome['counts']}."
            raise RuntimeError(message)
        measured.thawed = outcome["thawed_at"] - due_at
        served.stop()
        _run_scripts(served, measured)
    measured.one = _one_run()
    return measured


def _one_run() -> dict[str, float]:
    """Count what one run costs without its surroundings; see tests/bench/profile."""
    command = [sys.executable, "-m", "tests.bench.profile", "--json"]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def enter(served: Served, size: Size) -> list[str]:
    """Enter the policies of several owners, with scripts that do nothing; return the owners."""
    owners = [f"owner{number}" for number in range(min(OWNERS, size.policies))]
    for number, owner in enumerate(owners):
        names = [f"p{policy}" for policy in range(number, size.policies, len(owners))]
        served.enter(owner, names, VOLUMES)
        for name in names:
            for phase in PHASES:
                served.script(owner, f"{phase}_{name}.sh", SCRIPT)
    return owners


def warm_up(served: Served) -> None:
    """Make a few runs that do not count: a server that has been up for a minute has loaded its code."""
    names = [f"warm{number}" for number in range(WARM_UP_RUNS)]
    served.enter(WARM_UP_OWNER, names, VOLUMES)
    for name in names:
        for phase in PHASES:
            served.script(WARM_UP_OWNER, f"{phase}_{name}.sh", SCRIPT)
    served.order("start", names=names)
    wait_until(
        lambda: _is_over(served, [WARM_UP_OWNER], WARM_UP_RUNS),
        seconds=END_SECONDS,
        what="the ends of the first runs",
    )


def _is_over(served: Served, owners: list[str], policies: int) -> bool:
    time.sleep(LOOK_SECONDS)
    standing = served.order("standing", owners=owners)
    return standing["states"] == {"succeeded": policies} and not standing["untagged"]


@contextmanager
def _accounted(served: Served, measured: Measured) -> Iterator[None]:
    """Record the CPU time of the server and the simulated AWS within the block."""
    before, aws = processes.cpu_seconds(served.tree()), served.aws_cpu_seconds()
    yield
    used: dict[str, float] = defaultdict(float)
    for pid, seconds in processes.cpu_seconds(served.tree()).items():
        used[processes.kind(pid)] += seconds - before.get(pid, 0.0)
    measured.cpu, measured.aws_cpu = dict(used), served.aws_cpu_seconds() - aws


def _run_scripts(served: Served, measured: Measured) -> None:
    """Run as many scripts at a time as there are cores, as the server's processes could use all cores too."""
    at_a_time = os.cpu_count() or 1
    environment = dict(served.environment)
    del environment[
        "PYTHONDONTWRITEBYTECODE"
    ]  # the first run compiles Python files, and does not count
    scripts = [_script(served, number) for number in range(at_a_time)]
    _together(scripts[:1], environment)
    while len(measured.script_cpu) < measured.size.scripts:
        for used, took in _together(scripts, environment):
            measured.script_cpu.append(used)
            measured.script_time.append(took)


def _together(scripts: Sequence[Path], environment: Mapping[str, str]) -> list[tuple[float, float]]:
    """Run the scripts at the same time; return the CPU time of each, with its children, and its duration."""
    with ThreadPoolExecutor(len(scripts)) as pool:
        return list(pool.map(lambda script: _run(script, environment), scripts))


def _run(script: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    began = time.monotonic()
    running = subprocess.Popen([str(script)], env=dict(environment), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise ContestantError("The shell script of the whole backup failed.")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - began


def _script(served: Served, number: int) -> Path:
    """Write a plain script for a backup of one instance."""
    instance = served.aws.add_instance(volumes=[VolumeSpec() for _ in range(VOLUMES)]).instance_id
    folder = served.home / f"by-hand-{number}"
    folder.mkdir()
    for phase in PHASES:
        (folder / phase).write_text(SCRIPT, encoding="utf-8")
        (folder / phase).chmod(0o755)
    aws = shlex.join([str(Path(sys.executable).with_name("aws")), "ec2", "--region", REGION])
    mapping = "Reservations[].Instances[].BlockDeviceMappings[].Ebs.VolumeId"
    path = folder / "backup.sh"
    path.write_text(
        f"""#!/bin/bash
set -e
cd {shlex.quote(str(folder))}
volumes=$({aws} describe-instances --instance-ids {instance} --query '{mapping}' --output text)
{aws} describe-volumes --volume-ids $volumes >volumes.json
./before
snapshots=$({aws} create-snapshots --instance-specification InstanceId={instance} \\
  --query 'Snapshots[].SnapshotId' --output text)
./after 1
{aws} wait snapshot-completed --snapshot-ids $snapshots
./complete 1
""",
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path
