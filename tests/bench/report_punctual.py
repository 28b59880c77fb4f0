"""The page's part on punctuality: (n) from due to before's start, with one freeze process and with two."""

from tests.bench import punctual
from tests.bench.figures import spread
from tests.bench.goals import Goal, once
from tests.bench.tables import MEGABYTE, goal, table

GOAL_SECONDS = 5.0


def goal_row(measured: punctual.Measured) -> Goal:
    """Return the row on the punctuality of as many processes as there are cores on a small machine."""
    most = max(measured.late)
    late = spread(measured.late[most])
    alone = spread(measured.late[min(measured.late)])
    return Goal(
        "n",
        f"From due to before's start of {measured.policies} due at once, {most} freeze processes, p95",
        once(late.p95, "s"),
        f"{late.p95:.1f} s",
        f"median {late.median:.1f} s; one process: median {alone.median:.1f} s, p95 {alone.p95:.1f} s",
        goal(late.p95, GOAL_SECONDS, f"{GOAL_SECONDS:g} s"),
    )


def section(measured: punctual.Measured) -> tuple[str, ...]:
    """Return the table and the method."""
    head = (
        "freeze processes",
        "median, s",
        "p95, s",
        "the last, s",
        "CPU, s",
        "memory, MB",
        "load",
    )
    rows = [_row(measured, number) for number in sorted(measured.late)]
    text = f"""\
The policies belong to several owners and have scripts that do nothing, and are due in one and the same
moment on a whole server on SQLite. Counted is from the moment from which the server can see that they are due to the
start of before, as the guards enter it: the wait for the one-second tick is in it. The rows differ in
`N2W_FREEZE_PROCESSES` alone. All processes together open as many windows at a time. CPU is that of the whole server
until the last before has begun; memory (PSS) is that of the freeze processes, their parent and the parents of their
guards after a few runs; the load is the machine's in the minute before.{_why_late(measured)}"""
    title = f"## (n) The begins of {measured.policies} runs that are due at once"
    return (title, table(head, rows), text)


def _row(measured: punctual.Measured, number: int) -> tuple[str, ...]:
    late = spread(measured.late[number])
    return (
        str(number),
        f"{late.median:.1f}",
        f"{late.p95:.1f}",
        f"{max(measured.late[number]):.1f}",
        f"{measured.cpu[number]:.1f}",
        f"{measured.memory[number] / MEGABYTE:.0f}",
        f"{measured.load[number]:.1f}",
    )


def _why_late(measured: punctual.Measured) -> str:
    most = max(measured.late)
    if spread(measured.late[most]).p95 <= GOAL_SECONDS:
        return ""
    a_run = measured.cpu[most] / measured.policies
    return f"""

The goal is missed. A run costs {a_run * 1000:.0f} ms of CPU until its before begins, with what the others do meanwhile,
and the cores are shared by all processes and the simulated AWS."""
