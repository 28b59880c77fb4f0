"""The two ways to run the demo: one backup, or a server that runs until it gets a signal.

Everything that is started goes on an ExitStack before anything else can happen, and is ended in order.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from django.conf import settings
from rich.console import Console

from n2wbackup.demo import backup, company, distant, older, past, proving, sshd, stage, telling
from n2wbackup.demo.aws import SimulatedAws, SimulatorError
from n2wbackup.demo.backup import Backup
from n2wbackup.demo.ending import Ending
from n2wbackup.demo.server import DemoError, Server
from n2wbackup.demo.sshd import Sshd
from n2wbackup.demo.stage import Stage
from n2wbackup.lib import clock
from n2wbackup.lib.home import RuntimeFolderError
from n2wbackup.processes.supervisor import CannotServeError, Program
from policies.domain.errors import BackupError, RefusedError
from policies.selectors import runs

_LOOK_SECONDS = 1.0
_FAILURES = (DemoError, SimulatorError, CannotServeError, RuntimeFolderError, BackupError)


def once(ending: Ending, *, as_json: bool) -> int:
    """Make one backup, prove it and print both; return 0 only if it succeeded and nothing disproves it."""
    progress = Console(stderr=True, highlight=False)
    try:
        with _played(ending, progress) as (aws, scene, server):
            progress.print("Backing up …", style="dim")
            made = backup.make(scene, aws, server)
            progress.print("Proving it …", style="dim")
            worth = proving.try_out(made.run, scene, server)
            gone = older.let_go(scene)
            if as_json:
                sys.stdout.write(telling.as_json(made, worth, gone) + "\n")
            else:
                telling.show(Console(highlight=False), made, worth, gone)
            sys.stdout.flush()
        return 0 if made.is_good and worth.is_good else 1
    except _FAILURES as error:
        progress.print(f"The demo failed: {error}", markup=False)
        return 1


def standing(ending: Ending) -> int:
    """Back up now and then by schedule, until a signal comes; that is not a failure."""
    console = Console(highlight=False)
    console.print(f"The n2wbackup demo: http://127.0.0.1:{settings.N2W_PORT}/", markup=False)
    try:
        with ExitStack() as stack:
            host = Sshd.prepare(settings.N2W_HOME / "sshd")
            beside = []
            if host is not None:
                stack.enter_context(sshd.room_of_root())
                beside.append(host.program)
            aws, scene, server = stack.enter_context(_played(ending, console, beside))
            others = company.furnish(aws, scene.people)
            theirs = [distant.by_ssm(aws, others["wiki"].account)]
            if host is not None:
                theirs.append(distant.by_ssh(aws, others["orders"].account, host))
            past.make_up(others, clock.now())
            telling.welcome(console, scene, server.url, stage.EVERY_MINUTES)
            if host is None:
                console.print(sshd.MISSING, markup=False)
            shown = {str(each.id) for each in runs.recent(policy=scene.policy)}  # made up
            made = backup.make(scene, aws, server)
            worth = proving.try_out(made.run, scene, server)
            shown.add(_tell(console, scene, made))
            console.print(telling.worth_lines(worth), soft_wrap=True, markup=False)
            distant.start(theirs, host, server.wait)
            company.start(aws, others, server.wait)
            while True:
                # The schedule, or a person, starts the others.
                for made in backup.ended(scene, aws, shown):
                    shown.add(_tell(console, scene, made))
                server.wait(_LOOK_SECONDS)
    except _FAILURES as error:
        console.print(f"The demo failed: {error}", markup=False)
        return 1


@contextlib.contextmanager
def _played(
    ending: Ending, console: Console, beside: Sequence[Program] = ()
) -> Iterator[tuple[SimulatedAws, Stage, Server]]:
    """Yield the simulated AWS, the stage and a server that is ready; end all of them at the end."""
    with ExitStack() as stack:
        try:
            console.print(
                "Starting a simulated AWS, a sample application and the server …", style="dim"
            )
            aws = SimulatedAws(settings.N2W_HOME / "aws")
            stack.callback(aws.stop)
            # Both take seconds, and they do not depend on each other.
            with ThreadPoolExecutor(1, "aws") as thread:
                started = thread.submit(aws.start)
                stage.build()
            started.result()
            scene = stage.furnish(aws)
            older.make_up(aws, scene)
            os.environ.update(_without_keys(aws))
            stack.callback(proving.close_all)
            with ending.deferred():
                server = Server(scene.ledger, _without_keys(aws), beside)
                stack.callback(server.stop)
            server.wait_until_ready()
            yield aws, scene, server
        finally:
            # Before the stack ends anything: the end must not be interrupted.
            ending.ignore()
            with contextlib.suppress(OSError):  # the terminal may be gone
                console.print("Ending …", style="dim")


def _without_keys(aws: SimulatedAws) -> dict[str, str]:
    """Return the address of the simulated AWS; its keys are in the account, as for the real one."""
    return {name: value for name, value in aws.environment.items() if "ACCESS_KEY" not in name}


def _tell(console: Console, scene: Stage, made: Backup) -> str:
    """Print a backup, and the restore points that go because of it; return the id of its run."""
    console.print(telling.one_line(made), soft_wrap=True)
    with contextlib.suppress(RefusedError):  # the server is at it already
        for gone in older.let_go(scene):
            console.print(f"          {telling.gone_line(gone)}", soft_wrap=True, markup=False)
    return str(made.run["id"])
