"""The judge of the soak finds what it is there to find: each kind of wrong, put into what was all right."""

import dataclasses
from collections.abc import Callable

import pytest

from tests.system.soak import faults, judge, judge_growth, made_up
from tests.system.soak.estate import Mark
from tests.system.soak.evidence import Evidence, Made, Run
from tests.system.soak.judge_growth import LONG, MIB
from tests.system.soak.made_up import T0, lived, struck
from tests.system.soak.watching import Sample, Stretch


@pytest.fixture(autouse=True)
def as_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge as the measurement does, which runs alone on its machine."""
    monkeypatch.setattr(judge, "LEEWAY", 3.0)


@pytest.fixture
def evidence() -> Evidence:
    return made_up.evidence()


def first(evidence: Evidence) -> Run:
    return evidence.runs[0]


def first_marks(evidence: Evidence) -> list[Mark]:
    return evidence.marks[first(evidence).id]


def retagged(evidence: Evidence) -> None:
    for made in evidence.made[first(evidence).id]:
        made.tags |= {
            "n2wbackup:state": first(evidence).state,
            "n2wbackup:consistency": first(evidence).consistency,
        }
        for snapshot in first(evidence).snapshots:
            snapshot.consistency = first(evidence).consistency


def thawed_late(evidence: Evidence) -> None:
    run = first(evidence)
    run.thaw_by, run.consistency, run.reason = "lost", "crash", "the thaw was automatic (lost)"
    run.state = "partial"
    marks = first_marks(evidence)
    marks[:] = [dataclasses.replace(m, argument="0") if m.phase == "complete" else m for m in marks]
    retagged(evidence)


def test_what_is_all_right_is_not_complained_of(evidence: Evidence) -> None:
    assert judge.judge(evidence) == []


# Each breaks one thing, and names what the judge has to say.


def a_run_lost(evidence: Evidence) -> str:
    gone = evidence.runs.pop()
    del evidence.marks[gone.id], evidence.made[gone.id]
    return "is lost"


def a_due_time_twice(evidence: Evidence) -> str:
    again = dataclasses.replace(first(evidence), id="again", snapshots=[])
    evidence.runs.append(again)
    return "2 rows for the due time"


def skipped_for_nothing(evidence: Evidence) -> str:
    run = first(evidence)
    del evidence.marks[run.id], evidence.made[run.id]
    run.state, run.reason, run.snapshots = "skipped", "Run x had not ended at the due time.", []
    return "for no run under way"


def missed_too_early(evidence: Evidence) -> str:
    run = first(evidence)
    del evidence.marks[run.id], evidence.made[run.id]
    run.state, run.reason, run.snapshots = "missed", "passed", []
    return "no later one was due yet"


def thawed_by_itself_there(evidence: Evidence) -> str:
    run = first(evidence)
    run.is_remote, run.thaw_there = True, "silence"
    return "its instance was thawed by 'silence'"


def skipped_and_run(evidence: Evidence) -> str:
    first(evidence).state = "skipped"
    return "something was done for it"


def before_twice(evidence: Evidence) -> str:
    first_marks(evidence).insert(2, Mark("before", "start", "-", T0 + 5.5, 1, 77))
    return "before ran 2 times"


def fired_twice(evidence: Evidence) -> str:
    evidence.made[first(evidence).id][0].set_id = "another"
    return "fired 2 times"


def complete_twice(evidence: Evidence) -> str:
    first_marks(evidence).append(Mark("complete", "start", "1", T0 + 20, 1, 78))
    return "complete ran 2 times"


def never_thawed(evidence: Evidence) -> str:
    first_marks(evidence)[:] = [m for m in first_marks(evidence) if m.phase != "after"]
    return "no after came to its end"


def after_beside_before(evidence: Evidence) -> str:
    first_marks(evidence).insert(1, Mark("after", "start", "1", T0 + 3, 2, 79))
    return "after 2 began while before 1 ran"


def after_beside_after(evidence: Evidence) -> str:
    first_marks(evidence).append(Mark("after", "start", "1", T0 + 8, 2, 80))
    return "after 2 began while after 1 ran"


def after_in_anothers_window(evidence: Evidence) -> str:
    first_marks(evidence).append(Mark("after", "start", "1", T0 + 60 + 4, 2, 81))
    return "inside the window of run one-"


def ended_badly_for_nothing(evidence: Evidence) -> str:
    thawed_late(evidence)
    return "struck by nothing it may not"


def ended_badly_by_a_harmless_fault(evidence: Evidence) -> str:
    thawed_late(evidence)
    evidence.strikes = [struck("SIGKILL of web", T0 + 5)]
    return "struck by SIGKILL of web it may not"


def ended_badly_by_a_fault_long_after(evidence: Evidence) -> str:
    thawed_late(evidence)
    evidence.strikes = [struck("SIGKILL of a guard", T0 + 90)]
    return "struck by nothing it may not"


def automatic_and_application(evidence: Evidence) -> str:
    first(evidence).thaw_by, first(evidence).reason = "deadline", "automatic"
    return "it is called application"


def automatic_untold(evidence: Evidence) -> str:
    thawed_late(evidence)
    first(evidence).reason = "something"
    return "does not tell that the thaw was automatic"


def failed_phase_and_application(evidence: Evidence) -> str:
    first(evidence).phases["before"] = "timed_out"
    return "it is called application"


def success_without_an_end(evidence: Evidence) -> str:
    first_marks(evidence)[:] = [m for m in first_marks(evidence) if m.phase != "complete"]
    return "complete is said to have succeeded"


def run_and_not_told(evidence: Evidence) -> str:
    first(evidence).phases["complete"] = "not_run"
    return "complete is said not to have been run"


def no_complete(evidence: Evidence) -> str:
    first(evidence).phases["complete"] = "not_run"
    return "complete was never run"


def no_reason(evidence: Evidence) -> str:
    first(evidence).state = "partial"
    return "no reason is given"


def no_end(evidence: Evidence) -> str:
    first(evidence).state = "waiting"
    return "that is no end"


def half_a_success(evidence: Evidence) -> str:
    first(evidence).snapshots[0].state = "error"
    return "1 snapshots of 2 volumes"


def failed_with_snapshots(evidence: Evidence) -> str:
    first(evidence).state, first(evidence).reason = "failed", "why"
    return "2 usable snapshots"


def complete_told_too_much(evidence: Evidence) -> str:
    thawed_late(evidence)
    first_marks(evidence).append(Mark("complete", "end", "1", T0 + 20, 1, 2))
    return "complete was told that all was well"


def a_stray_in_aws(evidence: Evidence) -> str:
    evidence.made["nobody"] = [Made("snap-9", "set-9", "completed", {})]
    return "a run that no row knows"


def a_snapshot_too_many(evidence: Evidence) -> str:
    run = first(evidence)
    evidence.made[run.id].append(Made("snap-9", f"set-{run.id}", "completed", {}))
    return "AWS has ['snap-9'"


def an_untrue_state_of_a_snapshot(evidence: Evidence) -> str:
    evidence.made[first(evidence).id][0].state = "error"
    return "AWS says ('error'"


def an_untrue_tag(evidence: Evidence) -> str:
    evidence.made[first(evidence).id][0].tags["n2wbackup:consistency"] = "pending"
    return "'pending') of"


def tags_due(evidence: Evidence) -> str:
    first(evidence).tags_due = True
    return "its tags were never written"


def a_promise_broken(evidence: Evidence) -> str:
    evidence.strikes = [struck("SIGKILL of the freeze worker", T0 + 2.5)]
    return "thawed after 4.50 s, 1.0 are promised"


def a_promise_broken_though_something_else_struck(evidence: Evidence) -> str:
    strikes = [("SIGKILL of the freeze worker", 2.5), ("Valkey is flushed", 3.0)]
    evidence.strikes = [struck(name, T0 + at) for name, at in strikes]
    return "thawed after 4.50 s, 1.0 are promised"


def a_row_left(evidence: Evidence) -> str:
    evidence.tables["policies_windowlease"] = (0, 1)
    return "policies_windowlease had 0 rows and has 1"


def something_left(evidence: Evidence) -> str:
    evidence.left = ["guards: 12 n2wbackup guard x"]
    return "guards: 12"


def frozen_for_too_long(evidence: Evidence) -> str:
    evidence.watched = ["one is frozen for 99 s"]
    return "frozen for 99 s"


def memory_grown(evidence: Evidence) -> str:
    evidence.stretches = [lived(lambda n: Sample(T0 + n, (50 * MIB) + n * 20_000, 9))]
    return "web: its memory grew"


def descriptors_grown(evidence: Evidence) -> str:
    evidence.stretches = [lived(lambda n: Sample(T0 + n, 50 * MIB, 9 + n // 30))]
    return "web: descriptors grew from 12 to 27"


BREAKS = [
    a_run_lost, a_due_time_twice, skipped_for_nothing, missed_too_early, skipped_and_run, before_twice,
    fired_twice, complete_twice, never_thawed, after_beside_before, after_beside_after,
    after_in_anothers_window, ended_badly_for_nothing, ended_badly_by_a_harmless_fault,
    ended_badly_by_a_fault_long_after, automatic_and_application, automatic_untold,
    failed_phase_and_application, success_without_an_end, run_and_not_told, no_complete, no_reason, no_end,
    half_a_success, failed_with_snapshots, complete_told_too_much, a_stray_in_aws, a_snapshot_too_many,
    an_untrue_state_of_a_snapshot, an_untrue_tag, tags_due, a_promise_broken,
    a_promise_broken_though_something_else_struck, a_row_left, something_left,
    frozen_for_too_long, memory_grown, descriptors_grown, thawed_by_itself_there,
]  # fmt: skip


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda one: one.__name__.replace("_", "-"))
def test_what_is_wrong_is_named(break_it: Callable[[Evidence], str], evidence: Evidence) -> None:
    said = break_it(evidence)

    assert any(said in sentence for sentence in judge.judge(evidence))


def test_a_run_may_end_as_a_fault_that_fell_into_its_time_makes_it(evidence: Evidence) -> None:
    thawed_late(evidence)
    evidence.strikes = [struck("SIGKILL of a guard", T0 + 20)]

    assert judge.judge(evidence) == []


def test_a_cut_network_costs_only_runs_with_scripts_on_an_instance(evidence: Evidence) -> None:
    thawed_late(evidence)
    run = first(evidence)
    run.thaw_by, run.reason = "worker", "its instance thawed by itself"
    evidence.strikes = [struck("the network to the instances is cut for 15 s", T0 + 20)]
    assert any("it may not" in sentence for sentence in judge.judge(evidence))

    run.is_remote, run.thaw_there = True, "silence"

    assert judge.judge(evidence) == []


def test_a_promise_counts_from_the_next_start_and_ends_with_the_next_kill(
    evidence: Evidence,
) -> None:
    late = struck("SIGKILL of the freeze worker", T0 + 2.5)

    evidence.strikes = [dataclasses.replace(late, since=T0 + 4.5)]
    assert judge.judge(evidence) == []

    evidence.strikes = [late, struck("SIGKILL of the watchdog", T0 + 4)]
    assert judge.judge(evidence) == []


def test_warmth_is_no_growth_and_who_lived_too_shortly_is_not_judged() -> None:
    due = (T0, T0 + 480)
    warm = lived(lambda n: Sample(T0 + n, 50 * MIB + min(n, 100) * MIB, 9 + min(n, 100)))
    young = lived(lambda n: Sample(T0 + n, n * MIB, n), seconds=200)
    late = lived(lambda n: Sample(T0 + 450 + n, n * MIB, n))
    pool = dataclasses.replace(lived(lambda n: Sample(T0 + n, 50, n // 10)), kind="worker freeze")

    assert list(judge_growth.judge([warm, young, late, pool], due, LONG)) == []
    assert judge_growth.growth(young, due, LONG) is None
    assert judge_growth.growth(late, due, LONG) is None
    assert judge_growth.growth(Stretch("web", 1, "1"), due, LONG) is None


def test_the_sums_of_a_day_that_ended_meanwhile_are_no_growth() -> None:
    assert list(judge_growth.tables({"policies_dailysum": (0, 10)}, policies=5)) == []
    assert len(list(judge_growth.tables({"policies_dailysum": (0, 100)}, policies=5))) == 1


def test_a_process_is_warm_after_its_second_round() -> None:
    stretch = lived(lambda n: Sample(T0 + 10 + n, n * MIB, n))

    found = judge_growth.growth(stretch, (T0, T0 + 600), LONG)

    # It was there from second 10 on: its rounds begin at 60 and 120, and it is warm at 165.
    assert found is not None
    assert found.descriptors == (155, 540)
    assert [memory / MIB for memory in found.memory] == [182.5, 567.5]


def test_no_fault_can_be_given_a_cost_that_is_no_end() -> None:
    ends = {"succeeded", "partial", "failed"}
    worth = {"application", "crash", "none"}

    for fault in faults.FAULTS:
        costs = fault.costs | fault.costs_there
        assert {state for state, _ in costs} <= ends, fault.name
        assert {consistency for _, consistency in costs} <= worth, fault.name
