"""The page's parts on standing costs: (e) calls to follow snapshots, (f) memory, (g) the scheduler's tick."""

from tests.bench import memory, quiet, scale
from tests.bench.figures import p95, spread
from tests.bench.goals import Goal, drawn, exact, latest, once
from tests.bench.tables import MEGABYTE, goal, spreads, table

GOAL_WINDOW_BYTES = 6 * MEGABYTE
GOAL_IDLE_BYTES = 280 * MEGABYTE
GOAL_TICK_SECONDS = 0.020


def following_goal(measured: quiet.Following) -> Goal:
    """Return the row on calls."""
    excess = max(0, measured.made.worst_excess)
    return Goal(
        "e",
        f"DescribeSnapshots in a poll above one for each {measured.made.batch} pending snapshots, at worst",
        exact(excess),
        f"{excess}",
        f"{measured.made.calls:,} calls in the hour",
        goal(measured.made.worst_excess, 0),
    )


def following_section(measured: quiet.Following) -> tuple[str, ...]:
    """Return the counts and the method."""
    rows = [
        ("n2wbackup", f"{len(measured.made.polls):,}", f"{measured.made.calls:,}"),
        (
            "a call for each run, each 5 s",
            f"{measured.rounds:,}",
            f"{measured.naive_calls:,}",
        ),
    ]
    text = f"""\
{measured.snapshots:,} snapshots of {measured.runs:,} runs of one account in one region, pending all the while;
`policies.services.following.polling.poll` each 5 s, on a clock that is turned by hand, with an AWS that counts. Young
snapshots are asked for in each poll, those older than 2 minutes in each third, those older than 10 minutes in each
twelfth."""
    return (
        f"## (e) An hour of {measured.snapshots:,} pending snapshots",
        table(("", "polls that called AWS", "DescribeSnapshots"), rows),
        text,
    )


def memory_goals(measured: memory.Measured) -> list[Goal]:
    """Return the rows on a window's memory, and on all of an idle server's."""
    most = max(*measured.gates, measured.growth) / MEGABYTE
    idle = max(measured.totals) / MEGABYTE
    return [
        Goal(
            "f",
            "Memory of a window: private, the largest, or growth of all memory",
            once(most, "MB"),
            f"{most:.1f} MB",
            f"private {min(measured.gates) / MEGABYTE:.1f} to {max(measured.gates) / MEGABYTE:.1f} MB",
            goal(most * MEGABYTE, GOAL_WINDOW_BYTES, "6 MB"),
        ),
        Goal(
            "f",
            "Memory of an idle server, all processes (PSS), the largest",
            latest(measured.totals, unit="MB", factor=1 / MEGABYTE),
            f"{idle:.0f} MB",
            f"{min(measured.totals) / MEGABYTE:.0f} to {idle:.0f} MB (all looks)",
            goal(idle * MEGABYTE, GOAL_IDLE_BYTES, "280 MB"),
        ),
    ]


def memory_section(measured: memory.Measured) -> tuple[str, ...]:
    """Return the memory of windows and of the server, and the method."""
    windows = [
        ("Both scripts at their gates", spread(measured.gates)),
        ("Before has ended, after at its gate", spread(measured.held)),
    ]
    weights = sorted(measured.idle.items(), key=lambda item: -item[1])
    rows = [(name, f"{size / MEGABYTE:.1f}") for name, size in weights]
    rows.append(("**all**", f"**{sum(measured.idle.values()) / MEGABYTE:.1f}**"))
    return (
        "## (f) Memory",
        f"Private memory of a window in megabytes, {len(measured.gates)} windows open at the same time.",
        spreads(windows, 1 / MEGABYTE),
        f"Growth of all memory for each of them: {measured.growth / MEGABYTE:.1f} MB.",
        f"Resident memory of a server with nothing to do, in megabytes; at the last of {memory.LOOKS} looks.",
        table(("processes", "MB"), rows),
        """\
A window is its guard and the processes of both scripts, before they become the scripts. Private is what the kernel
(`smaps_rollup`) counts as one process's alone; pages that a guard shares with its own scripts' processes are in
nobody's. The growth has them too: it is what the proportional set size of all processes together grew by for each
window. Resident memory is that size: what processes share is divided among them, so that the sum is what
the whole server takes.""",
    )


def ticking_goals(measured: scale.Measured) -> list[Goal]:
    """Return the row on the tick, for each database that was asked."""
    return [_ticking_goal(measured, name) for name in measured.by_database]


def _ticking_goal(measured: scale.Measured, database: str) -> Goal:
    seconds = measured.by_database[database].ticks
    found = drawn(seconds, p95, unit="ms", factor=1000)
    size = measured.size
    return Goal(
        "g",
        f"A tick with {size.policies:,} policies and {size.runs:,} runs, nothing due, {database}, p95",
        found,
        f"{found.value:.1f} ms",
        f"median {spread(seconds).median * 1000:.1f} ms",
        goal(found.value, GOAL_TICK_SECONDS * 1000, "20 ms"),
    )


def ticking_section(measured: scale.Measured) -> tuple[str, ...]:
    """Return the spread and the method."""
    text = """\
The whole task that beat sends each second: schedules, retries of runs, and hints that got lost; called in one process,
with the history of (h) in the database. The goal looks at p95."""
    rows = [(f"The tick, {name}", spread(one.ticks)) for name, one in measured.by_database.items()]
    return (
        f"## (g) The tick with {measured.size.policies:,} policies and {measured.size.runs:,} runs",
        f"Milliseconds.\n\n{spreads(rows)}",
        text,
    )
