"""The page's parts on scripts that run on instances: (i) the hold, (j) the steps, (k) thaws without us, (l) SSM."""

import statistics
from collections.abc import Iterator, Sequence

from tests.bench import remote_texts
from tests.bench.figures import Ratio, p95, ratio, spread
from tests.bench.goals import Goal, drawn, exact, latest, once, quotient
from tests.bench.parts import Results
from tests.bench.remote import gates, holds, losses, over_ssm, steps
from tests.bench.tables import goal, spreads, table

MS = 1000.0
GOAL_OF_HOLD, SPARE_MS = 1.35, 3.0
GOAL_OF_BEFORE, GOAL_OF_AFTER = 1 / 2, 1 / 3
GOAL_TEN_MS, GOAL_WORD_MS = 25.0, 0.8
GOAL_KILL_MS, GOAL_ALONE_MS = 50.0, 300.0
EARLIEST_MS = -50.0
GOAL_SSM_MS = 250.0
MOST_PROCESSES, MOST_MIB = 12, 2.0
MIB = 1024 * 1024
Row = tuple[str, ...]


def goals(results: Results) -> list[Goal]:
    """Return the rows of the parts that were measured."""
    return [
        *(_of_holds(results.held_there) if results.held_there else ()),
        *(_of_steps(results.stepped) if results.stepped else ()),
        *(_of_losses(results.lost) if results.lost else ()),
        *(_of_ssm(results.sent) if results.sent else ()),
        *(_of_gates(results.stood) if results.stood else ()),
    ]


def sections(results: Results) -> list[Row]:
    """Return the sections of the parts that were measured."""
    found: list[Row] = []
    if results.held_there:
        found.append(_holds(results.held_there))
    if results.stepped:
        found.append(_steps(results.stepped))
    if results.lost:
        found.append(_losses(results.lost))
    if results.sent:
        found.append(_ssm(results.sent))
    if results.stood:
        found.append(_gates(results.stood))
    return found


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) * MS


def _spread(values: Sequence[float]) -> str:
    each = spread(values)
    return f"{each.lower_quartile * MS:.2f} to {each.upper_quartile * MS:.2f} ms (quartiles)"


def _range(values: Sequence[float]) -> str:
    return f"{min(values) * MS:.1f} to {max(values) * MS:.1f} ms (all)"


def _of_holds(measured: holds.Measured) -> Iterator[Goal]:
    ours = measured.holds[holds.BY_SSH]
    to_floor = ratio(ours, measured.floors)
    yield Goal(
        "i",
        "Hold, scripts by SSH / (round trip + CreateSnapshots + round trip)",
        quotient(to_floor),
        f"{to_floor.value:.2f}",
        f"{to_floor.low:.2f} to {to_floor.high:.2f}",
        goal(to_floor.value, GOAL_OF_HOLD),
    )
    start = statistics.median(measured.starts)
    without = ratio([hold - start for hold in ours], measured.floors)
    yield Goal(
        "i",
        "The same without the start of after's interpreter",
        quotient(without),
        f"{without.value:.2f}",
        f"{without.low:.2f} to {without.high:.2f}",
        "",
    )
    above = _median(ours) - _median(measured.floors)
    most = 2 * _median(measured.starts) + SPARE_MS
    yield Goal(
        "i",
        "That hold above that floor",
        once(above, "ms"),
        f"{above:.2f} ms",
        f"hold {_median(ours):.2f} ms, floor {_median(measured.floors):.2f} ms",
        goal(above, most, f"two starts of a local script + {SPARE_MS:g} ms = {most:.2f} ms"),
    )
    for name in (holds.HERE, holds.CALLS_SSH, holds.SHARES):
        found = ratio(ours, measured.holds[name])
        shown = f"{found.low:.3f} to {found.high:.3f}"
        what = f"Hold, scripts by SSH / {name}"
        yield Goal("i", what, quotient(found), f"{found.value:.3f}", shown, "")


def _of_steps(measured: steps.Measured) -> Iterator[Goal]:
    yield _of_step("before, until its end is heard", way(measured, "before"), GOAL_OF_BEFORE)
    yield _of_step("after, until its first statement", way(measured, "after"), GOAL_OF_AFTER)
    ten = measured.first_to_last
    yield Goal(
        "j",
        f"Last thaw heard of {steps.TEN} instances, behind the first",
        drawn(ten, unit="ms", factor=MS),
        f"{_median(ten):.1f} ms",
        _range(ten),
        goal(_median(ten), GOAL_TEN_MS, f"{GOAL_TEN_MS:g} ms"),
    )
    words = measured.cpu_per_word
    yield Goal(
        "j",
        f"The carriers' CPU for a word, {steps.HUNDRED} instances",
        drawn(words, unit="ms", factor=MS),
        f"{_median(words):.2f} ms",
        f"{min(words) * MS:.2f} to {max(words) * MS:.2f} ms (all)",
        goal(_median(words), GOAL_WORD_MS, f"{GOAL_WORD_MS:g} ms"),
    )


def way(measured: steps.Measured, phase: str) -> Ratio:
    """Return the ratio of the ways: a step less the same script's own time, ours to paramiko's exec."""
    of = measured.ended if phase == "before" else measured.begun
    own = statistics.median(of[steps.LOCAL][phase])
    ours, theirs = ([each - own for each in of[who][phase]] for who in (steps.OURS, steps.EXEC))
    return ratio(ours, theirs)


def _of_step(what: str, found: Ratio, most: float) -> Goal:
    return Goal(
        "j",
        f"A step beyond the script's own time, n2wbackup / exec: {what}",
        quotient(found),
        f"1/{1 / found.value:.1f}",
        f"1/{1 / found.low:.1f} to 1/{1 / found.high:.1f}",
        goal(found.value, most, f"1/{1 / most:g}"),
    )


def _of_losses(measured: losses.Measured) -> Iterator[Goal]:
    for what, values in (("carrier", measured.carrier), ("guard", measured.guard)):
        found = drawn(values, p95, unit="ms", factor=MS)
        yield Goal(
            "k",
            f"Thaw after SIGKILL of the {what}, p95",
            found,
            f"{found.value:.1f} ms",
            _range(values),
            goal(found.value, GOAL_KILL_MS, f"{GOAL_KILL_MS:g} ms"),
        )
    for what, values in (
        (f"{losses.SILENCE_SECONDS:g} s of silence", measured.silence),
        (f"a deadline of {losses.DEADLINE_SECONDS:g} s", measured.deadline),
    ):
        yield Goal(
            "k",
            f"Thaw beyond {what}, the latest",
            latest(values, unit="ms", factor=MS),
            f"{max(values) * MS:.1f} ms",
            _range(values),
            _within(values),
        )
    thawed = sum(each <= GOAL_ALONE_MS / MS for each in measured.server)
    yield Goal(
        "k",
        f"Instances of {measured.gone} that thaw by their own deadline when the server is gone for good",
        exact(thawed),
        f"{thawed}",
        _range(measured.server),
        f"all: {'met' if _is_within(measured.server) else 'missed'}",
    )


def _is_within(values: Sequence[float]) -> bool:
    return min(values) * MS >= EARLIEST_MS and max(values) * MS <= GOAL_ALONE_MS


def _within(values: Sequence[float]) -> str:
    shown = f"{EARLIEST_MS:g} to {GOAL_ALONE_MS:g} ms"
    return f"at most {shown}: {'met' if _is_within(values) else 'missed'}"


def _of_ssm(measured: over_ssm.Measured) -> Iterator[Goal]:
    for phase, values in measured.heard.items():
        yield Goal(
            "l",
            f"A step over SSM beyond the delivery: {phase}",
            drawn(values, unit="ms", factor=MS),
            f"{_median(values):.0f} ms",
            _spread(values),
            goal(_median(values), GOAL_SSM_MS, f"{GOAL_SSM_MS:g} ms"),
        )


def _of_gates(measured: gates.Measured) -> Iterator[Goal]:
    for shell, gate in measured.gates.items():
        is_met = gate.processes <= MOST_PROCESSES and gate.memory / MIB <= MOST_MIB
        yield Goal(
            "m",
            f"A far side at its gates, `sh` is {shell}",
            once(gate.memory / MIB, "MiB"),
            f"{gate.memory / MIB:.1f} MiB",
            f"{gate.processes} processes",
            f"at most {MOST_MIB:g} MiB, {MOST_PROCESSES} processes: {'met' if is_met else 'missed'}",
        )


def _holds(measured: holds.Measured) -> Row:
    rows = [(name, spread(values)) for name, values in measured.holds.items()]
    rows += [
        ("A byte there and back by SSH", spread(measured.trips)),
        ("CreateSnapshots alone", spread(measured.calls)),
        ("There and back, CreateSnapshots, there and back: the floor", spread(measured.floors)),
        ("The start of a local script", spread(measured.starts)),
    ]
    title = "## (i) The hold of scripts that run on the instance"
    return (title, f"Milliseconds.\n\n{spreads(rows)}", remote_texts.HOLDS)


def _steps(measured: steps.Measured) -> Row:
    rows = []
    for phase in steps.PHASES:
        for who, times in measured.begun.items():
            rows.append((f"{phase}, {who}: has begun", spread(times[phase])))
            rows.append((f"{phase}, {who}: its end is heard", spread(measured.ended[who][phase])))
    rows.append(("after, n2wbackup: the thaw's beginning is heard", spread(measured.thawing)))
    rows.append(("A byte there and back by SSH", spread(measured.echo)))
    rows.append(
        (f"{steps.TEN} instances: from the first thaw heard", spread(measured.first_to_last))
    )
    title = "## (j) A step on an instance"
    return (title, f"Milliseconds from the order.\n\n{spreads(rows)}", remote_texts.STEPS)


def _losses(measured: losses.Measured) -> Row:
    rows = [
        ("After SIGKILL of the carrier", spread(measured.carrier)),
        ("After SIGKILL of the guard", spread(measured.guard)),
        (f"Beyond {losses.SILENCE_SECONDS:g} s of silence", spread(measured.silence)),
        (f"Beyond the deadline of {losses.DEADLINE_SECONDS:g} s", spread(measured.deadline)),
        ("Beyond the deadline, the server gone for good", spread(measured.server)),
    ]
    title = "## (k) Thaws without the server"
    return (title, f"Milliseconds.\n\n{spreads(rows)}", remote_texts.LOSSES)


def _ssm(measured: over_ssm.Measured) -> Row:
    rows = []
    for phase in over_ssm.PHASES:
        rows.append((f"{phase} has begun", spread(measured.begun[phase])))
        rows.append((f"{phase}: its end is heard", spread(measured.heard[phase])))
    title = "## (l) A step over SSM"
    return (title, f"Milliseconds beyond the delivery.\n\n{spreads(rows)}", remote_texts.SSM)


def _gates(measured: gates.Measured) -> Row:
    head = (
        "`sh` is",
        "processes",
        "memory, MiB",
        "one bare shell, KiB",
        "so many bare shells, MiB",
    )
    rows = [
        (
            shell,
            str(gate.processes),
            f"{gate.memory / MIB:.2f}",
            f"{gate.bare / 1024:.0f}",
            f"{gate.bare * gate.processes / MIB:.2f}",
        )
        for shell, gate in measured.gates.items()
    ]
    return ("## (m) A far side at its gates", table(head, rows), remote_texts.GATES)
