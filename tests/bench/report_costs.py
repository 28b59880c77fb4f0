"""The page's parts on standing costs: (e) calls to follow snapshots, (f) memory, (g) the scheduler's tick."""

from tests.bench import memory, quiet
from tests.bench.figures import spread
from tests.bench.tables import MEGABYTE, goal, spreads, table

GOAL_WINDOW_BYTES = 6 * MEGABYTE
GOAL_TICK_SECONDS = 0.020


def following_goal(measured: quiet.Following) -> tuple[str, ...]:
    """Return the row on calls."""
    return (
        "e",
        f"DescribeSnapshots in a poll above one for each {measured.made.batch} pending snapshots, at worst",
        f"**{max(0, measured.made.worst_excess)}**",
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


def memory_goal(measured: memory.Measured) -> tuple[str, ...]:
    """Return the row on a window's memory."""
    most = max(*measured.gates, measured.growth)
    return (
        "f",
        "Memory of a window: private, the largest, or growth of all memory",
        f"**{most / MEGABYTE:.1f} MB**",
        f"private {min(measured.gates) / MEGABYTE:.1f} to {max(measured.gates) / MEGABYTE:.1f} MB",
        goal(most, GOAL_WINDOW_BYTES, "6 MB"),
    )


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
        "Resident memory of a server with nothing to do, in megabytes.",
        table(("processes", "MB"), rows),
        """\
A window is its guard and the processes of both scripts, before they become the scripts. Private is what the kernel
(`smaps_rollup`) counts as one process's alone; pages that a guard shares with its own scripts' processes are in
nobody's. The growth has them too: it is what the proportional set size of all processes together grew by for each
window. Resident memory is that size: what processes share is divided among them, so that the sum is what
the whole server takes.""",
    )


def ticking_goal(measured: quiet.Ticking) -> tuple[str, ...]:
    """Return the row on the tick."""
    found = spread(measured.seconds)
    return (
        "g",
        f"A tick with {measured.policies:,} policies, nothing due, p95",
        f"**{found.p95 * 1000:.1f} ms**",
        f"median {found.median * 1000:.1f} ms",
        goal(found.p95, GOAL_TICK_SECONDS, "20 ms"),
    )


def ticking_section(measured: quiet.Ticking) -> tuple[str, ...]:
    """Return the spread and the method."""
    text = """\
The whole task that beat sends each second: schedules, retries of runs, and hints that got lost; called in one process,
with SQLite on disk. Each policy has a schedule and has been run once. The goal looks at p95."""
    return (
        f"## (g) The tick with {measured.policies:,} policies",
        f"Milliseconds.\n\n{spreads([('The tick', spread(measured.seconds))])}",
        text,
    )
