"""The page shows the measurements, the goals that were met, and why a goal was missed."""

from datetime import date

import pytest

from tests.bench import crowd, flood, memory, punctual, quiet, report, rounds, scale
from tests.bench.figures import Polls
from tests.bench.history.sizes import Size
from tests.bench.parts import Results
from tests.bench.remote import gates, losses, over_ssm, steps
from tests.bench.remote import holds as remote_holds

DAY = date(2026, 6, 1)
TURNS = {"tick": [0.003] * 3, "clerk": [0.009] * 3, "poll": [0.03] * 3}


HISTORY = scale.Measured(
    Size(runs=1000),
    dict.fromkeys(scale.DATABASES, scale.Looked([0.004] * 3, TURNS, {"boss /runs/": [0.05] * 3})),
)


def results(
    cpu: float = 49.0, hold: float = 0.012, calls: int = 5, idle: int = 240_000_000
) -> Results:
    """Return results as they may be.

    `cpu` of 1,000 runs, `hold` in the crowd, `calls` of a poll of 1,000, bytes of an `idle` server.
    """
    holds = {rounds.OURS: [0.010] * 3, rounds.BARE: [0.009] * 3, rounds.SHELL: [0.7] * 3}
    return Results(
        holds=rounds.Measured(
            holds=holds, engine=[0.006] * 3, services=[0.004] * 3,
            many_holds=[0.312] * 2, many_slowest=[0.30] * 2,
        ),
        crowded=crowd.Measured(
            crowd.Size(turns=3, waiting=90, moving=10),
            holds=[hold] * 3, services=[0.002] * 3, waiting=[90, 92], moving=[10, 9], cpu_share=1.2,
        ),
        flooded=flood.Measured(
            flood.Size(policies=1000, scripts=2, pending_seconds=5), thawed=50.0, ended=60.0,
            cpu={"worker freeze": cpu / 2, "worker work": cpu / 4, "guards and scripts": cpu / 4},
            aws_cpu=9.0, script_cpu=[2.0, 2.0], script_time=[18.0, 19.0],
            one={"statements": 45, "commits": 6, "calls": 4, "cpu": 0.1},
        ),
        followed=quiet.Following(250, rounds=720, made=Polls([(1000, calls)] * 106)),
        weighed=memory.Measured(
            [5_000_000] * 2, [4_000_000] * 2, 5.5e6, {"web": 120_000_000}, [230_000_000, idle]
        ),
        ticked=HISTORY, scaled=HISTORY,
        held_there=remote_holds.Measured(
            dict.fromkeys(remote_holds.POLICIES, [0.007] * 3),
            trips=[0.0005] * 3, calls=[0.005] * 3, starts=[0.001] * 3,
        ),
        stepped=stepped(), lost=lost(),
        sent=over_ssm.Measured(*({each: [0.2] * 3 for each in over_ssm.PHASES} for _ in "12")),
        stood=gates.Measured({"dash": gates.Gate(9, 1_500_000, 100_000)}),
        begun=begun(),
    )  # fmt: skip


def begun(late: float = 4.0) -> punctual.Measured:
    """Two processes halve how late one is."""
    times = {1: [2 * late] * 3, 2: [late] * 3}
    each = {1: 60_000_000, 2: 90_000_000}
    return punctual.Measured(200, times, each, {1: 20.0, 2: 20.0}, {1: 0.5, 2: 0.5})


def stepped(ours: float = 0.002) -> steps.Measured:
    """A script takes 1 ms by itself, and 5 ms by exec."""
    took = {steps.LOCAL: 0.001, steps.EXEC: 0.005, steps.OURS: ours}
    times = {who: {phase: [each] * 3 for phase in steps.PHASES} for who, each in took.items()}
    return steps.Measured(times, times, [0.001] * 3, [0.0005] * 3, [0.01] * 3, [0.0002] * 3)


def lost(server: float = 0.01) -> losses.Measured:
    few = [0.01] * 3
    return losses.Measured(few, few, few, few, [0.01, server], gone=2)


def page(made: Results) -> str:
    return report.page(made, {"CPU": "one"}, DAY)


def goal(text: str, letter: str) -> str:
    """Return the line with the goal of the part."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {letter} |")]
    return next(line for line in lines if "at most" in line)


def test_every_part_has_its_goal_and_its_section() -> None:
    text = page(results())

    for letter in "abcdefghijklmn":
        assert "met" in goal(text, letter)
    for title in (
        "(a) One",
        "(b) 10",
        "(c) Amid 100",
        "(d) 1,000",
        "(e) An",
        "(f) Mem",
        "(g) The",
        "(h) After",
        "(i) The",
        "(j) A",
        "(k) Thaws",
        "(l) A",
        "(m) A",
        "(n) The",
    ):
        assert f"\n## {title}" in text
    assert "missed" not in text
    assert "| Date | 2026-06-01 |" in text


def test_the_services_own_time_is_taken_out_on_both_sides() -> None:
    # 12 ms less 2 ms against 10 ms less 4 ms.
    assert "**1.67**" in goal(page(results(hold=0.012)), "c")
    assert "10.0 ms / 6.0 ms" in goal(page(results(hold=0.012)), "c")


@pytest.mark.parametrize(
    ("made", "letter", "reason"),
    [
        (results(hold=0.0201), "c", "missed because the runs share few cores"),
        (results(cpu=50.1), "d", "Most goes to worker freeze, worker work and guards and scripts"),
        (results(calls=6), "e", ""),
    ],
)
def test_a_missed_goal_is_told(made: Results, letter: str, reason: str) -> None:
    text = page(made)

    assert "missed" in goal(text, letter)
    assert reason in " ".join(text.split())


@pytest.mark.parametrize("made", [results(hold=0.0199), results(cpu=49.9)])
def test_a_goal_that_is_just_met_is_met(made: Results) -> None:
    assert "missed" not in page(made)


def test_what_was_not_measured_is_not_on_the_page() -> None:
    made = results()
    made.holds = made.flooded = None

    text = page(made)

    assert "(d)" not in text
    assert "(c)" not in text  # there is nothing to compare it with
    assert "(g)" in text


def test_begins_that_are_late_are_told_with_what_a_run_costs() -> None:
    made = results()
    made.begun = begun(late=5.1)

    text = page(made)

    assert "| **5.1 s** | median 5.1 s; one process: median 10.2 s, p95 10.2 s |" in goal(text, "n")
    assert "A run costs 100 ms of CPU until its before begins" in " ".join(text.split())


def test_what_one_run_asks_of_the_database_has_a_goal() -> None:
    made = results()
    assert made.flooded is not None
    made.flooded.one = {"statements": 46, "commits": 6, "calls": 4}

    text = page(made)

    assert "| d | SQL statements of one run | **46** |  | at most 45: missed |" in text
    assert "| d | commits of one run | **6** |  | at most 6: met |" in text


def test_the_largest_look_at_an_idle_server_has_a_goal() -> None:
    what = "| f | Memory of an idle server, all processes (PSS), the largest |"

    met, missed = page(results()), page(results(idle=281_000_000))

    assert f"{what} **240 MB** | 230 to 240 MB (all looks) | at most 280 MB: met |" in met
    assert f"{what} **281 MB** | 230 to 281 MB (all looks) | at most 280 MB: missed |" in missed


def test_ticks_and_pages_are_of_one_history() -> None:
    text = page(results())

    assert (
        "A tick with 10,000 policies and 1,000 runs, nothing due, SQLite, p95 | **4.0 ms**" in text
    )
    assert "The slowest of 1 pages, PostgreSQL, p95 | **50.0 ms**" in text


def test_a_step_is_compared_without_the_scripts_own_time() -> None:
    made = results()
    made.stepped = stepped(ours=0.0024)

    # 2.4 ms less 1 ms against 5 ms less 1 ms.
    assert "| **1/2.9** |" in goal(page(made), "j")


def test_an_instance_that_thaws_after_its_deadline_is_counted() -> None:
    made = results()
    made.lost = lost(server=0.31)

    line = next(each for each in page(made).splitlines() if "gone for good |" in each)
    assert "| **1** |" in line
    assert line.endswith("all: missed |")
