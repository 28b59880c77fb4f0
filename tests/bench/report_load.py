"""The page's parts on load: (c) the hold in a crowd of other runs, (d) many policies due in the same second."""

import statistics

from tests.bench import crowd, flood, rounds
from tests.bench.figures import p95, ratio, spread
from tests.bench.goals import Goal, exact, once, quotient
from tests.bench.tables import goal, spreads, table

GOAL_CROWD = 3.0
GOAL_SHARE = 1 / 40
# Of one run in one process. What may not grow is in tests/policies/services/test_cost_of_a_run.py.
GOALS_OF_ONE = {"statements": 45, "commits": 6, "calls": 4}
_WORDS = {"statements": "SQL statements", "commits": "commits", "calls": "calls to AWS"}


def crowd_goal(measured: crowd.Measured, alone: rounds.Measured) -> Goal:
    """Return the row on the hold in a crowd."""
    above, below = p95(measured.net), p95(alone.net)
    found = ratio(measured.net, alone.net, p95)
    return Goal(
        "c",
        f"p95 of the hold less AWS's service time, amid {_others(measured)} other runs / the same in (a)",
        quotient(found),
        f"{found.value:.2f}",
        f"{above * 1000:.1f} ms / {below * 1000:.1f} ms",
        goal(found.value, GOAL_CROWD),
    )


def _others(measured: crowd.Measured) -> int:
    return measured.size.waiting + measured.size.moving


def crowd_section(measured: crowd.Measured, alone: rounds.Measured) -> tuple[str, ...]:
    """Return the table and the method."""
    size = measured.size
    rows = [
        ("Hold", spread(measured.holds)),
        ("The simulated AWS's own service time", spread(measured.services)),
        ("Hold less that", spread(measured.net)),
        ("The same in (a)", spread(alone.net)),
    ]
    text = f"""\
Single runs of one instance with {crowd.VOLUMES} volumes, one after the other, through a server with all its processes
(`serve`: freeze, tick and work workers, beat, watchdog, web, Valkey, SQLite on disk), while {size.waiting} other runs
wait for their snapshots and are polled, and {size.moving} others are between queued and thawed at any moment. Those
have an instance of {crowd.VOLUMES} volumes each, a before of {crowd.BEFORE_SECONDS} s, and a complete; as one is thawed
the next is started, and the snapshots of the one that has waited longest are completed. Ten times a second it was
looked at how many there were: {statistics.mean(measured.waiting):.0f} waiting and
{statistics.mean(measured.moving):.1f} on the way, on average. The server used {measured.cpu_share:.2f} CPU seconds a
second meanwhile.

The simulated AWS runs in a process of its own on the same cores. What it took for a run's CreateSnapshots, as it
measured itself, is taken out of that run's hold, here and in (a), so that its own trouble under load is not counted.
The goal compares p95 with p95.{_why_crowded(measured, alone)}"""
    return (
        f"## (c) Amid {_others(measured)} other runs",
        f"Milliseconds.\n\n{spreads(rows)}",
        text,
    )


def _why_crowded(measured: crowd.Measured, alone: rounds.Measured) -> str:
    if spread(measured.net).p95 <= GOAL_CROWD * spread(alone.net).p95:
        return ""
    return """ It is missed because the runs share few cores: before's end, the call and the word to thaw each wait
for a core and for Python, while other runs are prepared, entered and polled."""


def flood_goal(measured: flood.Measured) -> Goal:
    """Return the row on what a run costs."""
    by_hand = statistics.median(measured.script_cpu)
    share = measured.cpu_a_run / by_hand
    return Goal(
        "d",
        f"CPU for a run, of {measured.size.policies:,} due at once / of the shell script",
        once(share),
        f"1/{1 / share:.1f}",
        f"{measured.cpu_a_run * 1000:.0f} ms / {by_hand * 1000:.0f} ms",
        goal(share, GOAL_SHARE, "1/40"),
    )


def one_goals(measured: flood.Measured) -> list[Goal]:
    """Return the rows on what one run asks of database and AWS."""
    return [
        Goal(
            "d",
            f"{_WORDS[name]} of one run",
            exact(measured.one[name]),
            f"{measured.one[name]:g}",
            "",
            goal(measured.one[name], most),
        )
        for name, most in GOALS_OF_ONE.items()
        if name in measured.one
    ]


def flood_section(measured: flood.Measured) -> tuple[str, ...]:
    """Return the times, where the CPU went, and the method."""
    count = measured.size.policies
    times = [
        (
            "Until all are thawed",
            f"{measured.thawed:.1f} s",
            f"{count / measured.thawed:.1f} runs a second",
        ),
        (
            "Until all have ended",
            f"{measured.ended:.1f} s",
            "snapshots completed, complete run, tags written",
        ),
    ]
    costs = sorted(measured.cpu.items(), key=lambda item: -item[1])
    rows = [(name, f"{seconds / count * 1000:.1f}") for name, seconds in costs]
    rows.append(("**all of the server**", f"**{measured.cpu_a_run * 1000:.1f}**"))
    rows.append(("the simulated AWS, not counted", f"{measured.aws_cpu / count * 1000:.1f}"))
    return (
        f"## (d) {count:,} policies due in the same second",
        table(("", "", ""), times),
        "CPU for one run, in milliseconds.",
        table(("processes", "ms"), rows),
        "The shell script, in milliseconds.",
        spreads(
            [
                ("CPU", spread(measured.script_cpu)),
                ("From start to end", spread(measured.script_time)),
            ]
        ),
        _flood_method(measured) + _why_dear(measured),
    )


def _why_dear(measured: flood.Measured) -> str:
    if measured.cpu_a_run <= GOAL_SHARE * statistics.median(measured.script_cpu):
        return ""
    parts = sorted(measured.cpu, key=lambda name: -measured.cpu[name])[:3]
    return f"""

The goal is missed. Most goes to {parts[0]}, {parts[1]} and {parts[2]}: the forks of two guards and three scripts a
run, the rows that are written before and after each step, and seven calls to AWS."""


def _flood_method(measured: flood.Measured) -> str:
    return f"""\
The policies belong to {flood.OWNERS} owners, and have one instance with {flood.VOLUMES} volumes and a before, an after
and a complete each, all of them bash scripts that do nothing. They have schedules, and are due in one and the same
moment; the server's one-second tick finds them. AWS's rates are lifted, so permits are taken as ever, from buckets that
are never empty. The server is a whole one on SQLite, and {flood.WARM_UP_RUNS} runs were made before, which do not
count.

CPU is user and system time of all the server's processes, read from `/proc`, with that of each process that
has ended in its parent's: so guards, scripts, Valkey, beat, the watchdog and the web are in it, and so are the ticks
and polls of the whole time. Snapshots are pending for {measured.size.pending_seconds:g} s.

The shell script does the same for one instance: `aws ec2 describe-instances`, `describe-volumes`, before,
`create-snapshots`, after, `wait snapshot-completed`, complete. As many run at a time as there are cores, as many others
run beside each of the server's. Its CPU is its own and that of all that it started. The waiter of the aws CLI looks
every 15 s.

Statements, commits and calls are those of one run by itself, from its order to its last tags, with the poll that
finds its snapshots completed, counted by `make profile`, which says what each is for."""
