"""The judgement of a soak: everything that is not as the contract demands, a sentence each."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.ground.leeway import LEEWAY
from tests.system.soak import judge_growth
from tests.system.soak.estate import VOLUMES, Mark
from tests.system.soak.evidence import Evidence, Run
from tests.system.soak.faults import FINE, End
from tests.system.soak.striking import Strike

MINUTE = 60.0
CLOCKS_SECONDS = 1.0  # between a mark and a row
WRITER_SECONDS = (
    20.0  # a row's time is taken before it waits for its turn to be written, at most so long
)
NEVER_RUN = frozenset({"skipped", "missed"})


def judge(evidence: Evidence) -> list[str]:
    """Return what is wrong; nothing where all is as demanded."""
    return [
        *evidence.watched,
        *evidence.left,
        *_due_times(evidence),
        *twice(evidence),
        *_in_order(evidence),
        *_ends(evidence),
        *_truths(evidence),
        *_in_aws(evidence),
        *_promises(evidence),
        *judge_growth.tables(evidence.tables, len(evidence.policies)),
        *judge_growth.judge(evidence.stretches, evidence.followed, evidence.limits),
    ]


def _due_times(evidence: Evidence) -> Iterator[str]:
    """Each due time of each policy is run, skipped or missed, exactly once; the reason is true."""
    first, last = evidence.due
    wanted = {first + MINUTE * n for n in range(round((last - first) / MINUTE) + 1)}
    by_policy: dict[str, list[Run]] = defaultdict(list)
    for run in evidence.runs:
        by_policy[run.policy].append(run)
    for policy in evidence.policies:
        found = Counter(at for run in by_policy[policy] for at in _stands_for(run))
        for at in sorted(wanted - set(found)):
            yield f"{policy}: the due time {at:.0f} is lost"
        for at, count in found.items():
            if count > 1 or at not in wanted:
                yield f"{policy}: {count} rows for the due time {at:.0f}"
        for run in by_policy[policy]:
            yield from _why_never_run(run, by_policy[policy])


def _stands_for(run: Run) -> list[float]:
    return [run.scheduled_for + MINUTE * n for n in range(run.due_count)]


def _why_never_run(run: Run, others: list[Run]) -> Iterator[str]:
    if run.state == "skipped":
        met = [o for o in others if o.id in run.reason]
        if not any(o.created_at <= run.created_at <= o.ended_at + WRITER_SECONDS for o in met):
            yield f"{run.policy}: skipped at {run.scheduled_for:.0f} for no run under way: {run.reason!r}"
    if run.state == "missed" and run.created_at < (run.due_until or run.scheduled_for) + MINUTE:
        yield f"{run.policy}: missed at {run.scheduled_for:.0f} though no later one was due yet"


def twice(evidence: Evidence) -> Iterator[str]:
    """before, fire and complete happen once at most."""
    for run, marks in evidence.marks.items():
        starts = Counter(mark.phase for mark in marks if mark.moment == "start")
        for phase in ("before", "complete"):
            if starts[phase] > 1:
                yield f"run {run}: {phase} ran {starts[phase]} times"
    for run, snapshots in evidence.made.items():
        if (sets := len({one.set_id for one in snapshots})) > 1:
            yield f"run {run}: fired {sets} times"


def _in_order(evidence: Evidence) -> Iterator[str]:
    """before, then after; never two afters at a time; no after inside another run's window."""
    windows: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
    afters: dict[str, list[tuple[str, float]]] = defaultdict(list)
    policy = {run.id: run.policy for run in evidence.runs}
    for run, marks in evidence.marks.items():
        yield from _overlaps(run, marks)
        befores = [m for m in marks if m.phase == "before"]
        ends = [m for m in marks if (m.phase, m.moment) == ("after", "end")]
        if befores and not any(end.at > befores[-1].at for end in ends):
            yield f"run {run}: before ran, and no after came to its end behind it"
        elif befores:
            windows[policy.get(run, run)].append((run, befores[0].at, ends[0].at))
        starts = [m.at for m in marks if (m.phase, m.moment) == ("after", "start")]
        afters[policy.get(run, run)] += [(run, at) for at in starts]
    for name, found in windows.items():
        for run, began, ended in found:
            for other, at in afters[name]:
                if other != run and began < at < ended:
                    yield f"run {other}: after ran inside the window of run {run}"


def _overlaps(run: str, marks: list[Mark]) -> Iterator[str]:
    ended = {(m.phase, m.pid): m.at for m in marks if m.moment == "end"}
    starts = [m for m in marks if m.moment == "start"]
    for one in starts:
        end = ended.get((one.phase, one.pid), one.at)
        for other in starts:
            if other.phase == "after" and one.phase != "complete" and one.at < other.at < end:
                yield f"run {run}: after {other.attempt} began while {one.phase} {one.attempt} ran"


def _ends(evidence: Evidence) -> Iterator[str]:
    """A run ends as if nothing had been, or as one of the faults that fell into its time may make it."""
    for run in evidence.runs:
        if run.state in NEVER_RUN or (run.state, run.consistency) in may_end(run, evidence.strikes):
            continue
        struck = ", ".join(one.fault.name for one in fell_into(run, evidence.strikes)) or "nothing"
        yield (
            f"run {run.id} of {run.policy} ended {run.state}, {run.consistency}, and struck by {struck} "
            f"it may not: {run.reason!r}"
        )


def fell_into(run: Run, strikes: list[Strike]) -> list[Strike]:
    """Return the strikes that fell into a run's time."""
    return [
        one
        for one in strikes
        if one.at - CLOCKS_SECONDS <= run.ended_at and run.created_at <= one.until + CLOCKS_SECONDS
    ]


def may_end(run: Run, strikes: list[Strike]) -> set[End]:
    """Return how the run may end."""
    fell = fell_into(run, strikes)
    there = [one.fault.costs_there for one in fell if run.is_remote]
    return {FINE}.union(*(one.fault.costs for one in fell), *there)


def _truths(evidence: Evidence) -> Iterator[str]:
    """What a run says of itself must be so."""
    for run in evidence.runs:
        if run.state in NEVER_RUN:
            if run.id in evidence.marks or run.id in evidence.made:
                yield f"run {run.id} is called {run.state}, and something was done for it"
            continue
        for sentence in _untrue(run, evidence.marks.get(run.id, [])):
            yield f"run {run.id} of {run.policy} ({run.state}, {run.consistency}): {sentence}"


def _untrue(run: Run, marks: list[Mark]) -> Iterator[str]:
    is_automatic = run.thaw_by not in {"", "worker"}
    if run.state not in {"succeeded", "partial", "failed"}:
        yield "that is no end"
        return
    if run.state != "succeeded" and not run.reason:
        yield "no reason is given"
    if is_automatic and "automatic" not in run.reason:
        yield f"the reason does not tell that the thaw was automatic: {run.reason!r}"
    fine = {run.phases.get(phase) for phase in ("before", "after")} == {"succeeded"}
    if run.consistency == "application" and (is_automatic or not fine):
        yield f"thawed by {run.thaw_by}, {run.phases}, and it is called application"
    if run.consistency == "application" and run.is_remote and run.thaw_there != "worker":
        yield f"its instance was thawed by {run.thaw_there!r}, and it is called application"
    if run.state == "succeeded" and run.consistency != "application":
        yield "it succeeded with less than its policy requires"
    yield from _untrue_phases(run, marks)
    yield from _untrue_snapshots(run, marks)


def _untrue_phases(run: Run, marks: list[Mark]) -> Iterator[str]:
    done = {(m.phase, m.moment) for m in marks}
    for phase in ("before", "after", "complete"):
        outcome = run.phases.get(phase, "not_run")
        if outcome == "succeeded" and (phase, "end") not in done:
            yield f"{phase} is said to have succeeded, and did not come to its end"
        if outcome == "not_run" and (phase, "start") in done:
            yield f"{phase} is said not to have been run, and was"
    if run.started_at and run.phases.get("complete", "not_run") == "not_run":
        yield "complete was never run"


def _untrue_snapshots(run: Run, marks: list[Mark]) -> Iterator[str]:
    completed = sum(one.state == "completed" for one in run.snapshots)
    if (run.state == "failed") != (completed == 0):
        yield f"{completed} usable snapshots"
    if run.state == "succeeded" and completed != VOLUMES:
        yield f"{completed} snapshots of {VOLUMES} volumes"
    all_well = any((m.phase, m.argument) == ("complete", "1") for m in marks)
    if all_well and (run.consistency, completed) != ("application", VOLUMES):
        yield "complete was told that all was well"


def _in_aws(evidence: Evidence) -> Iterator[str]:
    """AWS has what the rows say, no more and no less, and its tags say the same."""
    known = {run.id for run in evidence.runs}
    for stray in sorted(set(evidence.made) - known):
        yield f"AWS has snapshots of a run that no row knows: {stray!r}"
    for run in evidence.runs:
        there = {one.id: one for one in evidence.made.get(run.id, [])}
        if set(there) != {one.id for one in run.snapshots}:
            yield f"run {run.id} ({run.state}): AWS has {sorted(there)}, the rows {run.snapshots}"
            continue
        if run.tags_due:
            yield f"run {run.id}: its tags were never written"
        for one in run.snapshots:
            tags = there[one.id].tags
            said = (
                there[one.id].state, tags.get("n2wbackup:state"), tags.get("n2wbackup:consistency")
            )  # fmt: skip
            if said != (one.state, run.state, one.consistency):
                yield f"run {run.id}: AWS says {said} of {one}"


def _promises(evidence: Evidence) -> Iterator[str]:
    """Who was promised to be thawed in so many seconds was, unless the next strike ended the one who thaws."""
    for strike in evidence.strikes:
        promised = strike.fault.promised
        if promised is None or _is_disturbed(strike, evidence.strikes):
            continue
        for seconds in thaws(strike, evidence.marks):
            if seconds > LEEWAY * promised:
                yield (
                    f"{strike.fault.name} at {strike.at:.0f}: thawed after {seconds:.2f} s, "
                    f"{promised} are promised"
                )


def _is_disturbed(strike: Strike, strikes: list[Strike]) -> bool:
    until = strike.since + LEEWAY * (strike.fault.promised or 0.0)
    return any(strike.at < one.at < until and not one.fault.spares for one in strikes)


def thaws(strike: Strike, marks: dict[str, list[Mark]]) -> Iterator[float]:
    """Yield in how many seconds after began, for each window that was open."""
    for found in marks.values():
        befores = [m.at for m in found if m.phase == "before"]
        afters = [m.at for m in found if (m.phase, m.moment) == ("after", "start")]
        if befores and afters and befores[0] <= strike.at < afters[0]:
            yield afters[0] - strike.since


def freezes(marks: dict[str, list[Mark]]) -> dict[str, tuple[float, float]]:
    """Return of each run the seconds from the start of before to the start of after, and to the end of one."""
    found = {}
    for run, ones in marks.items():
        began = [m.at for m in ones if m.phase == "before"]
        starts = [m.at for m in ones if (m.phase, m.moment) == ("after", "start")]
        ends = [m.at for m in ones if (m.phase, m.moment) == ("after", "end")]
        if began and starts and ends:
            found[run] = (starts[0] - began[0], ends[0] - began[0])
    return found
