"""What a soak found: a few lines for the terminal, and the page."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from tests.bench import machine as machines
from tests.bench import tables
from tests.ground.leeway import LEEWAY
from tests.system.soak import faults, judge, judge_growth, watching
from tests.system.soak.estate import MAX_FREEZE_SECONDS
from tests.system.soak.judge_growth import MIB, Growth
from tests.system.soak.soak import Soaked
from tests.system.soak.striking import CALM_PART, EVERY_SECONDS

HEAD = """# Soak

Written by `make soak` on {day}; run it on your own machine to write this page anew.

{policies} policies are due each minute, for {minutes} minutes, by the real scheduler of a real server: its
database (SQLite), broker, workers, guards and watchdog, and a simulated AWS that keeps AWS's rates. before and
after of each tenth policy run on an instance, over a real SSH connection, which is cut at times. Every
{every:g} s on average a fault strikes, chosen by the seed {seed}. In the last third only those strike that end no
process, so that memory and descriptors can be followed. Nothing else is touched: after the last fault the server
is left alone until every run has ended.

**{runs} runs, {strikes} strikes, {wrong} things not as demanded. {lost} due times lost, {doubled} of before, fire
or complete done twice, {frozen} applications left frozen.**
"""
JUDGED = """## What is judged

- Each due time of each policy is run, skipped or missed, exactly once, and the reason is true.
- before, fire and complete of a run happen once at most; after never twice at a time, nor in another run's window.
- No run's frozen file is older than {limit:g} s at any time: {budget:g} s are the policy's budget and after's own
  time, {watchdog:g} s are promised of the watchdog, of which a busy machine may take {leeway:g} times as much.
  Between the end of everything and the next start nobody is there to thaw, and that time is not counted.
- A run ends *succeeded, application*, or as a fault that fell into its time may make it end; what it says of itself
  is compared with its marks, with AWS's snapshots and with their tags.
- In the end nothing is left: no frozen file, guard, script, spool folder, journal, lease or hint, no process that
  was ever seen, and no row in a table that is no history.
- A process that lives from the last third to the end holds then no more than {share:.0%} and {bytes:g} MiB of
  memory of its own above what it held when it had seen {rounds} rounds of runs, and no more than {descriptors}
  descriptors, as some connections are opened at the first need. A worker's thread keeps what belonged to its
  last guard until it starts the next one ({threads}).
"""

SAME_SECONDS = 15.0  # so near, two lives are equally long


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return f"{tables.table(head, rows)}\n"


def lines(soaked: Soaked) -> Iterator[str]:
    """Yield a short report."""
    found = soaked.evidence
    for (state, consistency), count in _ends(soaked):
        yield f"{count:5} {state}, {consistency}"
    hit = sum(bool(strike.hit) for strike in found.strikes)
    yield f"{len(found.strikes)} strikes, {hit} of them hit something; {_late_starts(soaked)}"
    yield f"{len(soaked.told)} alarms were told, {len(set(soaked.told))} different ones"
    yield from (f"{name}: {value}" for name, value in _freezes(soaked))
    for one in _growths(soaked):
        (warm, end), (few, many) = one.memory, one.descriptors
        yield (
            f"{one.kind} ({one.seconds:.0f} s): {warm / MIB:.1f} to {end / MIB:.1f} MiB, "
            f"{few} to {many} descriptors"
        )
    yield from (f"WRONG: {sentence}" for sentence in soaked.wrong)
    yield f"seed {soaked.seed}, {soaked.minutes} minutes: {len(soaked.wrong)} things not as demanded"


def page(soaked: Soaked, about: Mapping[str, str]) -> str:
    """Return the page."""
    found, allowed, wrong = soaked.evidence, soaked.evidence.limits, soaked.wrong
    head = HEAD.format(
        day=datetime.now(tz=UTC).date(),
        policies=len(found.policies),
        minutes=soaked.minutes,
        every=EVERY_SECONDS,
        seed=soaked.seed,
        runs=sum(run.state not in judge.NEVER_RUN for run in found.runs),
        strikes=len(found.strikes),
        wrong=len(wrong),
        lost=sum("is lost" in sentence for sentence in wrong),
        doubled=len(list(judge.twice(found))),
        frozen=sum(sentence.startswith("frozen:") for sentence in found.left),
    )
    judged = JUDGED.format(
        limit=watching.LIMIT_SECONDS,
        budget=watching.BUDGET_SECONDS,
        watchdog=watching.WATCHDOG_SECONDS,
        leeway=LEEWAY,
        rounds=allowed.rounds,
        share=allowed.share,
        bytes=allowed.bytes / MIB,
        descriptors=allowed.descriptors,
        threads=", ".join(f"{n} of {kind}" for kind, n in allowed.of_threads.items()),
    )
    assert CALM_PART == 1 / 3  # the page says so
    return "\n".join(
        [head, _runs(soaked), _frozen(soaked), _faults(soaked), _growth(soaked), judged]
        + [_not_as_demanded(wrong)] * bool(wrong)
        + [_machine(about)]
    )


def _ends(soaked: Soaked) -> list[tuple[tuple[str, str], int]]:
    rows: Counter[tuple[str, str]] = Counter()
    for run in soaked.evidence.runs:
        never = run.state in judge.NEVER_RUN
        rows[run.state, "-" if never else run.consistency] += run.due_count if never else 1
    return rows.most_common()


def _runs(soaked: Soaked) -> str:
    rows = [[state, worth, str(count)] for (state, worth), count in _ends(soaked)]
    text = (
        "*skipped*: the policy's last run had not ended at the due time; a run whose answer from AWS was lost waits "
        "five minutes for AWS's last word. *missed*: no tick came before the next due time. "
        f"{_late_starts(soaked)[:1].upper()}{_late_starts(soaked)[1:]}. After the last minute it took "
        f"{soaked.settling_seconds:.0f} s until every run had ended."
    )
    return f"## Runs by their end\n\n{_table(('end', 'consistency', 'due times'), rows)}\n{text}\n"


def _late_starts(soaked: Soaked) -> str:
    late = sorted(
        run.started_at - run.scheduled_for for run in soaked.evidence.runs if run.started_at
    )
    if not late:
        return "no run was started"
    half, last = late[len(late) // 2], late[-1]
    return f"half of the runs were taken within {half:.1f} s of their due time, the latest after {last:.1f} s"


def _freezes(soaked: Soaked) -> list[tuple[str, str]]:
    found = judge.freezes(soaked.evidence.marks)
    late = [first for first, _ in found.values() if first > MAX_FREEZE_SECONDS]
    by = Counter(run.thaw_by for run in soaked.evidence.runs if run.thaw_by)
    told = ", ".join(f"{count} by {who}" for who, count in by.most_common())
    return [
        ("windows", str(len(found))),
        ("who thawed", told or "-"),
        ("windows that stood open at one time, at most", str(soaked.watch.most_frozen)),
        ("start of before to start of after, longest", _most(first for first, _ in found.values())),
        ("start of before to end of after, longest", _most(last for _, last in found.values())),
        (
            "frozen file, oldest, without the time in which everything was dead",
            _most(soaked.watch.frozen_seconds.values()),
        ),
        (f"windows that stood open beyond their {MAX_FREEZE_SECONDS} s", str(len(late))),
    ]


def _most(seconds: Iterable[float]) -> str:
    return f"{max(seconds, default=0.0):.2f} s"


def _frozen(soaked: Soaked) -> str:
    return f"## How long it was frozen\n\n{_table(('', ''), _freezes(soaked))}"


def _faults(soaked: Soaked) -> str:
    rows = []
    for fault in faults.FAULTS:
        struck = [one for one in soaked.evidence.strikes if one.fault is fault]
        seconds = [s for one in struck for s in judge.thaws(one, soaked.evidence.marks)]
        ends = fault.costs | fault.costs_there
        costs = "; ".join(sorted(", ".join(end) for end in ends)) or "nothing"
        rows.append(
            [
                fault.name,
                str(sum(bool(one.hit) for one in struck)),
                str(len(seconds)),
                f"{max(seconds):.2f} s" if seconds and fault.promised else "-",
                f"{fault.promised:g} s" if fault.promised else "-",
                costs,
            ]
        )
    head = (
        "fault",
        "struck",
        "windows open",
        "slowest thaw",
        "promised",
        "may cost",
    )
    text = (
        "*windows open*: how many stood between the start of before and the start of after when it struck. *slowest "
        "thaw*: the seconds to the start of after, from the strike or, where everything was dead, from the next "
        "start; a busy machine may take three times what is promised, and more where the next strike ends the one "
        "who thaws. Where nothing is promised, the window goes on as it would have. What a fault may cost are the "
        "ends of a run that was under way, besides *succeeded, application*.\n"
    )
    return f"## What struck\n\n{_table(head, rows)}\n{text}"


def _growths(soaked: Soaked) -> list[Growth]:
    """Return the growth of each kind's process that lived longest; of equals, the one that holds most."""
    evidence = soaked.evidence
    grown = (
        judge_growth.growth(each, evidence.followed, evidence.limits) for each in evidence.stretches
    )
    found = [one for one in grown if one is not None]
    longest = {
        one.kind: one
        for one in sorted(found, key=lambda one: (one.seconds // SAME_SECONDS, one.memory[1]))
    }
    return [longest[kind] for kind in sorted(longest)]


def _growth(soaked: Soaked) -> str:
    rows = [
        [
            one.kind,
            f"{one.seconds:.0f} s",
            f"{one.memory[0] / MIB:.1f} MiB",
            f"{one.memory[1] / MIB:.1f} MiB",
            f"{one.descriptors[0]}",
            f"{one.descriptors[1]}",
        ]
        for one in _growths(soaked)
    ]
    head = (
        "process",
        "lived",
        "memory, warm",
        "memory, end",
        "descriptors, warm",
        "descriptors, end",
    )
    text = (
        "Of each kind the process that lived longest; all that lived through the last third are judged. Memory is "
        "what belongs to no file, the median of a stretch; descriptors are the least of it.\n"
    )
    return f"## What a process holds\n\n{_table(head, rows)}\n{text}"


def _not_as_demanded(wrong: Sequence[str]) -> str:
    return "## Not as demanded\n\n" + "\n".join(f"- {sentence}" for sentence in wrong) + "\n"


def _machine(about: Mapping[str, str]) -> str:
    return f"## The machine\n\n{_table(('', ''), list(about.items()))}"


def machine() -> dict[str, str]:
    """Return what the machine is; asked before the soak makes a load of its own."""
    return machines.facts()
