"""The page of the fault bench: fault by moment, with what was measured."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from tests.bench import machine as machines
from tests.ground.leeway import LEEWAY
from tests.system.faults import every, moments
from tests.system.faults.judge import FROZEN, Finding

ALONE = (
    "What takes longest is the start of a server, of which as many happen at a time as there are cells. "
    "`make faults ARGS='--jobs 1 --fault \"everything killed*\"'` prints what it takes alone.\n"
)
HEAD = """# Reliability

Written by `make faults` on {day}; run it on your own machine to write this page anew.

Each cell is a whole run, recovery, proof or deletion of a real server: its own database, broker,
workers, guard and watchdog, scripts that leave marks in memory, and a simulated AWS. The fault
strikes in a moment that is held until it has struck: by a script that waits, by a call that AWS does
not answer yet, or by a worker that is stopped. One judge then looks at the marks, at AWS, at the
rows, and at everything that may be left behind: processes, files, memory, leases. Nothing is taken on
trust. What many runs and many faults at once come to stands in [soak.md](soak.md).

**{cells} cells, {wrong} of them not as demanded. {frozen} applications left frozen. {doubled} of
before, fire or complete done twice. {twice} resources made or deleted twice, {left} left behind.**
"""
PROMISES = (
    ("SIGKILL of the workers while frozen: after has begun", 1.0, "SIGKILL of the workers"),
    (
        "everything killed: after has begun, from the next start",
        5.0,
        "everything killed, memory lost, then a start",
    ),
    (
        "workers and guard killed, watchdog alive: after has begun",
        10.0,
        "SIGKILL of workers and guard",
    ),
)
# Of recoveries, proofs and what is deleted.
OTHERS = ("fault", "moment", "end", "made or deleted", "twice, left", "until the end", "")
WHILE_FROZEN = ("before", "between", "call", "returned")


def machine() -> dict[str, str]:
    """Return what the machine is; asked before the bench makes a load of its own."""
    return machines.facts()


def page(findings: Sequence[Finding], about: Mapping[str, str], jobs: int) -> str:
    """Return the page."""
    doubled = sum(max(0, count - 1) for f in findings for count in (f.before, f.fired, f.complete))
    parts = [
        HEAD.format(
            day=datetime.now(tz=UTC).date(),
            cells=len(findings),
            wrong=sum(bool(finding.wrong) for finding in findings),
            frozen=sum(FROZEN in f.wrong for f in findings),
            doubled=doubled,
            twice=sum(finding.twice for finding in findings),
            left=sum(finding.left for finding in findings),
        ),
        _promises(findings),
        _legend(),
        *(_subject(name, findings) for name in every.SUBJECTS),
        _machine(about, jobs),
    ]
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _promises(findings: Sequence[Finding]) -> str:
    rows = []
    for text, promised, fault in PROMISES:
        found = [f for f in findings if f.fault == fault and f.moment in WHILE_FROZEN]
        seconds = [f.thawed_seconds for f in found if f.thawed_seconds is not None]
        slowest = f"**{max(seconds):.2f} s**" if seconds else "-"
        rows.append([text, f"{promised:g} s", slowest, f"{LEEWAY * promised:g} s"])
    head = ("what", "promised", "slowest of all moments", "asserted")
    return f"## Promises\n\n{_table(head, rows)}\n{ALONE}"


def _legend() -> str:
    names = ", ".join(f"*{name}*" for name in moments.TITLES.values())
    return (
        "## How to read the tables\n\n"
        f"The moments are: {names}. *Armed there*: the scripts stand at their gates on the instance, and the "
        f"server's own before has not ended. For a fault of AWS or of a script it is the one that it befalls.\n\n"
        "*thawed* is the time from the strike to the start of after; where after ran already, to the "
        "end of one; for the faults of scripts and AWS, from the end of before; for a server that was "
        "killed, from the next start. Before anything is frozen it is how long the run still took to "
        "its own thaw. *after* is the argument of the first after that follows the strike. "
        "*before, fire, complete*: how often each was done.\n\n"
        "A recovery, a proof or a deletion has its moments by the call that AWS holds up, *before* AWS does what is "
        "asked or *after* it, or by the step that has begun. *made or deleted*: how many volumes, instances, images "
        "or snapshots; a proof makes none. *twice, left*: those that are one too many, and whatever is still there "
        "although nobody needs it: in AWS, and on the machine processes, loop devices, mounts, folders, holds.\n"
    )


def _subject(name: str, findings: Sequence[Finding]) -> str:
    if any(fault.take for fault in every.SUBJECTS[name]):
        return f"## {name}\n\n{_table(OTHERS, map(_other, _found(name, findings)))}"
    head = (
        "fault", "moment", "thawed", "after", "end", "consistency", "before, fire, complete", "",
    )  # fmt: skip
    return f"## {name}\n\n{_table(head, map(_row, _found(name, findings)))}"


def _found(name: str, findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings of a subject in the order of its table."""
    known = {(found.fault, found.moment): found for found in findings}
    cells = [(fault.name, moment) for fault in every.SUBJECTS[name] for moment in fault.at]
    return [known[cell] for cell in cells if cell in known]


def _row(found: Finding) -> list[str]:
    seconds = found.thawed_seconds
    return [
        found.fault,
        moments.TITLES.get(found.moment, found.moment),
        "-" if seconds is None else f"{seconds:.2f} s",
        found.argument or "-",
        found.state or "-",
        found.consistency or "-",
        f"{found.before}, {found.fired}, {found.complete}",
        "**not as demanded**" if found.wrong else found.left_out and "left out",
    ]


def _other(found: Finding) -> list[str]:
    return [
        found.fault,
        moments.TITLES.get(found.moment, found.moment),
        found.state or "-",
        str(found.stands),
        f"{found.twice}, {found.left}",
        "-" if found.seconds is None else f"{found.seconds:.1f} s",
        "**not as demanded**" if found.wrong else found.left_out and "left out",
    ]


def _machine(about: Mapping[str, str], jobs: int) -> str:
    rows = [*about.items(), ("Cells at a time", str(jobs))]
    return f"## The machine\n\n{_table(('', ''), rows)}"
