"""The page's part on the hold: (a) one instance, against bare boto3 and a shell script, and (b) many instances."""

import statistics

from tests.bench.figures import ratio, spread
from tests.bench.goals import Goal, drawn, quotient
from tests.bench.rounds import (
    BARE,
    INSTANCES,
    LATENCY_SECONDS,
    OURS,
    REST_SECONDS,
    SHELL,
    VOLUMES,
    WARM_UP_ROUNDS,
    Measured,
)
from tests.bench.tables import goal, spreads

GOAL_ONE = 1.15
GOAL_MANY = 1.05

METHOD = f"""\
**The hold** is the time from the end of before to the start of after. The scripts measure it themselves, in the same
way for everybody: before's last statement and after's first one write bash's `$EPOCHREALTIME` into a file in
memory, and the hold is the difference. So the end of before's interpreter and the start of after's are in it, besides
the call and all that stands around it. Nothing is taken out of the figures: a step of the wall clock would
show as an outlier.

**The contestants** run the same two scripts, ask for the same snapshots of the same instance (CreateSnapshots
with a description and six tags), and have the same environment:

- *{OURS}*: whole runs (`policies.services.window.keeping.execute` and all that comes before and after it) in one warm
  process, in a thread that is not the first one, as in a worker; guard, spool and journal as in production; SQLite
  on disk. The permits are taken as ever, from buckets too large to be empty.
- *{BARE}*: one process with a client that has been used before: `subprocess.run(before)`,
  `client.create_snapshots(…)`, `subprocess.Popen(after)`. No deadline, no record, and nobody who thaws when it
  dies.
- *{SHELL}*: `before; aws ec2 create-snapshots …; after`.

They take turns in one run, in an order shuffled for each round, after {WARM_UP_ROUNDS} rounds each of the two
warm ones that do not count, with {REST_SECONDS * 1000:.0f} ms of rest before each turn. The shell script, which takes
its time, joins in some of the rounds.

**AWS** is the simulated one of the demo, on the same machine, with its rate limits off. In the first comparison it
answers as fast as it can, which is the worst case for the ratio: a slower call takes the same time from everybody. For
the {INSTANCES} instances each CreateSnapshots takes {LATENCY_SECONDS} s beyond its own work, and the slowest single
call is what the simulated AWS itself measured within the same run.

A ratio is one of medians; its interval (95 %) is bootstrapped from the rounds; for the
{INSTANCES} instances it spans all rounds. p95 is the value that 95 % of the rounds stay below.
"""


def goals(measured: Measured) -> list[Goal]:
    """Return the rows on the hold; the second one has no goal."""
    ours, bare, shell = (measured.holds[name] for name in (OURS, BARE, SHELL))
    to_bare, to_shell = ratio(ours, bare), ratio(ours, shell)
    shares = many_shares(measured)
    many = statistics.median(shares)
    return [
        Goal(
            "a",
            f"Hold, {OURS} / {BARE}",
            quotient(to_bare),
            f"{to_bare.value:.2f}",
            f"{to_bare.low:.2f} to {to_bare.high:.2f}",
            goal(to_bare.value, GOAL_ONE),
        ),
        Goal(
            "a",
            f"Hold, {OURS} / {SHELL}",
            quotient(to_shell),
            f"{to_shell.value:.4f}",
            f"{to_shell.low:.4f} to {to_shell.high:.4f}",
            "",
        ),
        Goal(
            "b",
            f"Hold of {INSTANCES} instances / slowest single call",
            drawn(shares),
            f"{many:.2f}",
            f"{min(shares):.2f} to {max(shares):.2f} (all rounds)",
            goal(many, GOAL_MANY),
        ),
    ]


def many_shares(measured: Measured) -> list[float]:
    """Return hold / slowest single call of each round of many instances."""
    pairs = zip(measured.many_holds, measured.many_slowest, strict=True)
    return [hold / slowest for hold, slowest in pairs]


def section(measured: Measured) -> tuple[str, ...]:
    """Return both tables, what they mean, and the method."""
    return (
        f"## (a) One instance with {VOLUMES} volumes",
        _one(measured),
        f"## (b) {INSTANCES} instances in one policy, {LATENCY_SECONDS} s a call",
        _many(measured),
        "### Method of (a) and (b)",
        METHOD.rstrip(),
    )


def _one(measured: Measured) -> str:
    rows = [(name, spread(values)) for name, values in measured.holds.items()]
    rows.append((f"{OURS}, as the engine records it", spread(measured.engine)))
    rows.append(("The simulated AWS's own service time", spread(measured.services)))
    rows.append((f"{OURS}, less that", spread(measured.net)))
    ours, bare = (statistics.median(measured.holds[name]) for name in (OURS, BARE))
    text = f"""\
The engine's own `hold_seconds` goes from the moment when the guard sees before's end to the moment when it lets after
go: the end and the start of the interpreters are not in it.

The median hold of {OURS} differs from that of {BARE} by {(ours - bare) * 1000:+.2f} ms. The guard has
its price: before's end and the word to thaw each cross a pipe between two processes, and after is executed
by a process that was forked, with its pid on record, before the window. In exchange it is thawed when the
worker dies. What makes up for it: the call is built and signed before the window, and its answer is read after
the thaw."""
    return f"Hold in milliseconds.\n\n{spreads(rows)}\n\n{text}"


def _many(measured: Measured) -> str:
    rows = [
        (f"Hold of {INSTANCES} instances", spread(measured.many_holds)),
        ("Slowest single call", spread(measured.many_slowest)),
    ]
    return f"Milliseconds.\n\n{spreads(rows)}"
