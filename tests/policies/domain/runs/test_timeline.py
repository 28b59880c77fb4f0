"""Bars are to scale, on both scales, for a run that goes on as for one that has ended."""

from datetime import UTC, datetime, timedelta

from policies.domain.runs import timeline
from policies.domain.runs.timeline import Course, Script, Span, Target, There
from tests.ground.properties import given, st

T = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def course(**changed: object) -> Course:
    facts: dict[str, object] = {
        "created": at(0), "started": at(10), "ordered": at(19.9), "complete": at(90), "ended": at(100),
        "scripts": (
            Script("before", 1, "succeeded", at(20), at(20.1)),
            Script("after", 1, "succeeded", at(20.2), at(20.4)),
            Script("complete", 1, "succeeded", at(90), at(100)),
        ),
        "targets": (
            Target("i-1", "usable", at(20.15), in_time=True),
            Target("i-2", "usable", at(20.3)),
            Target("i-3", "refused", None),
        ),
    }  # fmt: skip
    return Course(**{**facts, **changed})  # type: ignore[arg-type]


def test_the_run_has_a_bar_for_each_part_and_each_target() -> None:
    found = timeline.of_run(course(), at(1000))

    assert found is not None
    assert found.seconds == 100
    assert [(bar.span.label, bar.x, bar.width) for bar in found.bars] == [
        ("queued", 0, 10),
        ("preparing", 10, 10),
        ("window", 20, 0.4),
        ("snapshots of i-1", 20.15, 69.85),
        ("snapshots of i-2", 20.3, 69.7),
        ("complete", 90, 10),
    ]
    assert found.shade == (20, 0.4)


def test_the_window_has_milliseconds_and_each_call_and_what_was_held_is_shaded() -> None:
    found = timeline.of_window(course(), at(1000))

    assert found is not None
    assert round(found.seconds, 6) == 0.4
    assert [(bar.span.label, bar.x, bar.width) for bar in found.bars] == [
        ("before", 0, 25),
        ("call for i-1", 25, 12.5),
        ("call for i-2", 25, 50),
        ("after", 50, 50),
    ]
    assert [bar.span.kind for bar in found.bars] == ["good", "good", "warn", "good"]
    assert found.shade == (25, 25)


def test_a_run_that_goes_on_reaches_to_now() -> None:
    nothing = {"started": None, "ordered": None, "complete": None, "ended": None}

    found = timeline.of_run(course(scripts=(), targets=(), **nothing), at(7))

    assert found is not None
    assert [(bar.width, bar.goes_on) for bar in found.bars] == [(100, True)]


def test_a_thaw_that_is_repeated_keeps_the_window_open() -> None:
    scripts = (
        Script("before", 1, "succeeded", at(20), at(21)),
        Script("after", 1, "failed", at(22), at(23)),
        Script("after", 2, "failed", at(24), at(25)),
    )
    open_ = course(scripts=scripts, complete=None, ended=None)
    assert open_.window == (at(20), None)
    thawed = (*scripts, Script("after", 3, "succeeded", at(30), at(31)))
    assert course(scripts=thawed).window == (at(20), at(31))
    found = timeline.of_run(open_, at(60))
    assert found is not None
    assert "after, attempt 2" in [bar.span.label for bar in found.bars]


def test_without_a_window_there_is_none_to_draw() -> None:
    assert timeline.of_window(course(scripts=()), at(1000)) is None


SECONDS = st.floats(0, 1e6)


@given(st.lists(st.tuples(SECONDS, st.one_of(st.none(), SECONDS)), min_size=1, max_size=9), SECONDS)
def test_every_bar_lies_on_its_scale(times: list[tuple[float, float | None]], now: float) -> None:
    spans = [Span("x", "busy", at(a), None if b is None else at(b)) for a, b in times]

    found = timeline.drawn(spans, at(now))

    assert found is not None
    assert len(found.bars) == len(spans)
    assert 1 <= len(found.ticks) <= 7
    for bar in found.bars:
        assert 0 <= bar.x <= 100
        assert bar.width >= 0
        assert bar.x + bar.width <= 100.01


def _there(instance: str, phase: str, start: float, end: float, **of: object) -> There:
    number, outcome = of.get("attempt", 1), of.get("outcome", "succeeded")
    return There(instance, Script(phase, number, outcome, at(start), at(end)))  # type: ignore[arg-type]


def test_scripts_on_instances_lie_within_the_servers_and_what_all_held_is_shaded() -> None:
    there = (
        _there("i-1", "before", 20.1, 20.12),
        _there("i-2", "before", 20.1, 20.13),
        _there("i-1", "after", 20.16, 20.18),
        _there("i-2", "after", 20.16, 20.17, outcome="failed"),
        _there("i-2", "after", 21.17, 21.2, attempt=2),
    )

    window = timeline.of_window(course(there=there), at(1000))
    whole = timeline.of_run(course(there=there), at(1000))

    assert window is not None
    assert [bar.span.label for bar in window.bars] == [
        *("before", "before on i-1", "before on i-2"),
        *("call for i-1", "call for i-2"),
        *("after on i-1", "after on i-2", "after"),
    ]
    assert window.shade == (32.5, 7.5)  # from the last before to the first after
    assert whole is not None
    assert whole.shade == (20, 1.2)  # until the last instance was thawed


def test_a_window_of_instances_alone_is_drawn_and_open_while_one_is_not_thawed() -> None:
    there = (
        _there("i-1", "before", 20, 20.1),
        _there("i-1", "after", 20.2, 20.3, outcome="failed"),
    )
    alone = course(scripts=(), there=there, ended=None, complete=None, ordered=at(20))

    window = timeline.of_window(alone, at(30))
    whole = timeline.of_run(alone, at(30))

    assert window is not None
    assert [bar.span.label for bar in window.bars][0::3] == ["before on i-1", "after on i-1"]
    assert whole is not None
    assert next(bar for bar in whole.bars if bar.span.label == "window").goes_on


def test_the_window_of_instances_opens_with_their_before_and_is_held_until_the_word_to_thaw() -> (
    None
):
    there = (
        _there("i-1", "before", 20.4, 20.5),
        _there("i-1", "after", 21.2, 21.4),  # the word took its time to get there
    )
    held = timedelta(seconds=0.2)
    alone = course(scripts=(), targets=(), there=there, ordered=at(20), hold=held)

    window = timeline.of_window(alone, at(30))

    assert alone.window == (at(20.4), at(21.4))
    assert window is not None
    assert window.shade == (10, 20)
