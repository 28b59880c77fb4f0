"""The page's part on scale: (h) turns and pages after a million runs."""

from collections.abc import Sequence

from tests.bench import scale
from tests.bench.figures import p95, spread
from tests.bench.goals import Goal, drawn
from tests.bench.tables import goal, table

GOAL_TURN_SECONDS = 0.020
GOAL_PAGE_SECONDS = 0.100
SLOWEST = 12  # pages in the table


def goals(measured: scale.Measured) -> list[Goal]:
    """Return the rows on the tick, the clerk's turn and the slowest page, for each database."""
    rows = []
    for database, looked in measured.by_database.items():
        for name, words in (("tick", "A tick"), ("clerk", "A turn of the watchdog's clerk")):
            what = f"{words}, {database}, p95"
            rows.append(_row(what, looked.turns[name], GOAL_TURN_SECONDS, "20 ms"))
        slowest = max(looked.pages.values(), key=p95)
        what = f"The slowest of {len(looked.pages)} pages, {database}, p95"
        name = f"The slowest page, {database}, p95"  # there may be more pages next time
        rows.append(_row(what, slowest, GOAL_PAGE_SECONDS, "100 ms", name))
    return rows


def _row(what: str, seconds: Sequence[float], most: float, shown: str, name: str = "") -> Goal:
    found = drawn(seconds, p95, unit="ms", factor=1000)
    median = f"median {spread(seconds).median * 1000:.1f} ms"
    met = goal(found.value, most * 1000, shown)
    return Goal("h", what, found, f"{found.value:.1f} ms", median, met, name)


def section(measured: scale.Measured) -> tuple[str, ...]:
    """Return the turns, the slowest pages, and the method."""
    size, databases = measured.size, measured.by_database
    names = {name for looked in databases.values() for name in looked.pages}
    names = {name for name in names if all(name in looked.pages for looked in databases.values())}
    slowest = sorted(names, key=lambda n: -max(p95(one.pages[n]) for one in databases.values()))
    head = ("", *(f"{database}, {what}" for database in databases for what in ("median", "p95")))
    turns = next(iter(databases.values())).turns
    rows = [(name, *_cells(measured, "turns", name)) for name in turns]
    rows += [(f"`{n}`", *_cells(measured, "pages", n)) for n in slowest[:SLOWEST]]
    return (
        f"## (h) After {size.runs:,} runs of {size.policies:,} policies",
        f"Milliseconds; of the {len(names)} pages, the slowest.",
        table(head, rows),
        f"""\
`python -m tests.bench.history` fills an empty database: {size.runs:,} runs of {size.policies:,} policies of
{size.users} users over {size.days} days, each with a target, two snapshots, two results of scripts and four events;
{size.open} runs are under way. Each turn and page is called in one process, and what it writes is taken back. The
first call of each does not count. A tick is what beat asks for each second: hints, retries and due times, of which
nothing is due. The clerk's turn is what it asks for each second: runs without a keeper and alarms to be sent. The
poll follows the pending snapshots; AWS answers at once. Pages are asked for as a superuser (`boss`), who sees
everything, and as one of the users; the lists of Django's admin are among them.""",
    )


def _cells(measured: scale.Measured, kind: str, name: str) -> list[str]:
    found = []
    for looked in measured.by_database.values():
        each = spread(getattr(looked, kind)[name])
        found += [f"{each.median * 1000:.1f}", f"{each.p95 * 1000:.1f}"]
    return found
