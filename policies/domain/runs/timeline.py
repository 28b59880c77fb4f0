"""The timeline of a run, to scale: where each bar begins and ends. Pure.

Two scales: the whole run, and its window alone, which lasts milliseconds. Nothing is sampled or rounded away: each
bar stands for one row of the run, and each has its times in words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from scripts_admin.domain.phases import Outcome, Phase

_STEPS_SECONDS = [
    *(n * 10**e / 1000 for e in range(3) for n in (1, 2, 5)),
    *(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600, 43200, 86400, 172800),
]
_TICKS = 6  # at most
_WHOLE = 100.0  # per cent


class Span(NamedTuple):
    """Something that took a time. `end` None: it still goes on. `end` = `start`: a moment."""

    label: str
    kind: str
    start: datetime
    end: datetime | None
    words: str = ""


class Bar(NamedTuple):
    """A span on its scale. `x` and `width` are per cent of the scale."""

    span: Span
    row: int
    x: float
    width: float
    seconds: float
    offset: float  # seconds from the beginning of the scale
    goes_on: bool


class Tick(NamedTuple):
    x: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """One scale with its bars. `shade` is the window: where it begins and how wide it is, in per cent."""

    start: datetime
    seconds: float
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    shade: tuple[float, float] | None = None


def drawn(
    spans: Sequence[Span], now: datetime, window: tuple[datetime, datetime | None] | None = None
) -> Timeline | None:
    """Return the spans to scale, each in a row of its own; None if there is nothing to draw."""
    if not spans:
        return None
    start = min(span.start for span in spans)
    end = max(max(span.start, _end(span, now)) for span in spans)
    whole = max((end - start).total_seconds(), 0.001)
    bars = tuple(_bar(span, row, start, whole, now) for row, span in enumerate(spans))
    return Timeline(start, whole, bars, tuple(_ticks(whole)), _shade(window, start, whole, now))


def _end(span: Span, now: datetime) -> datetime:
    return span.end if span.end is not None else max(now, span.start)


def _bar(span: Span, row: int, start: datetime, whole: float, now: datetime) -> Bar:
    seconds = max(0.0, (_end(span, now) - span.start).total_seconds())
    offset = (span.start - start).total_seconds()
    return Bar(
        span=span,
        row=row,
        x=round(offset / whole * _WHOLE, 3),
        width=round(seconds / whole * _WHOLE, 3),
        seconds=seconds,
        offset=offset,
        goes_on=span.end is None,
    )


def _shade(
    window: tuple[datetime, datetime | None] | None, start: datetime, whole: float, now: datetime
) -> tuple[float, float] | None:
    if window is None:
        return None
    first, last = window
    x = (first - start).total_seconds() / whole * _WHOLE
    width = ((last or max(now, first)) - first).total_seconds() / whole * _WHOLE
    return round(x, 3), round(max(0.0, min(width, _WHOLE - x)), 3)


def _ticks(whole: float) -> Iterator[Tick]:
    step = next((s for s in _STEPS_SECONDS if whole / s <= _TICKS), whole / _TICKS)
    for number in range(int(whole / step) + 1):
        yield Tick(round(number * step / whole * _WHOLE, 3), number * step)


class Script(NamedTuple):
    """One attempt of before, after or complete."""

    phase: str
    attempt: int
    outcome: str
    start: datetime | None
    end: datetime | None


class There(NamedTuple):
    """One attempt of before or after on an instance."""

    instance: str
    script: Script


class Target(NamedTuple):
    """`fired`: when AWS had answered. `in_time`: before the thaw began."""

    name: str
    state: str
    fired: datetime | None
    in_time: bool = False


@dataclass(frozen=True, slots=True)
class Course:
    """What is known of a run's times."""

    created: datetime
    started: datetime | None
    ordered: datetime | None
    complete: datetime | None
    ended: datetime | None
    scripts: tuple[Script, ...]
    targets: tuple[Target, ...]
    there: tuple[There, ...] = ()
    hold: timedelta | None = None

    @property
    def before(self) -> Script | None:
        """Return before, if it ran."""
        return self._first(Phase.BEFORE)

    @property
    def after(self) -> Script | None:
        """Return the first after, if it ran."""
        return self._first(Phase.AFTER)

    def _first(self, phase: str) -> Script | None:
        found = (s for s in self.scripts if s.phase == phase and s.attempt == 1 and s.start)
        return next(found, None)

    @property
    def window(self) -> tuple[datetime, datetime | None] | None:
        """Return from when to when the application was, or may have been, frozen."""
        firsts = [self.before] if self.before else []
        firsts += [each.script for each in self.first_there(Phase.BEFORE)]
        opened = min((each.start for each in firsts if each.start), default=self.ordered)
        return None if opened is None else (opened, self._closed())

    def _closed(self) -> datetime | None:
        """Return when it was thawed for sure; None if that is still to come."""
        afters: dict[str, list[Script]] = {}
        for where, script in (*(("", s) for s in self.scripts), *self.there):
            if script.phase == Phase.AFTER and script.start:
                afters.setdefault(where, []).append(script)
        if not afters:
            return self._fired() or self.ended
        ends = [self._thawed(each) for each in afters.values()]
        known = [end for end in ends if end is not None]
        return max(known) if len(known) == len(ends) else None

    def _thawed(self, afters: list[Script]) -> datetime | None:
        good = next((s.end for s in afters if s.outcome == Outcome.SUCCEEDED), None)
        return good or (self.ended and afters[-1].end)

    def first_there(self, phase: str) -> list[There]:
        """Return the first attempts of a phase on the instances, as far as they ran."""
        first = (each for each in self.there if each.script.attempt == 1 and each.script.start)
        return [each for each in first if each.script.phase == phase]

    def _fired(self) -> datetime | None:
        return max((t.fired for t in self.targets if t.fired), default=None)


def of_run(course: Course, now: datetime) -> Timeline | None:
    """Return the whole run: its queue, its window, the snapshots of each target, complete."""
    window, done = course.window, course.complete or course.ended
    spans = [Span("queued", "quiet", course.created, course.started or course.ended)]
    if course.started:
        opened = window[0] if window else done
        spans.append(Span("preparing", "busy", course.started, opened))
    if window:
        spans.append(Span("window", "window", *window, "frozen"))
    spans += [
        Span(f"after, attempt {s.attempt}", _kind(s), s.start, s.end, s.outcome)
        for s in course.scripts
        if s.phase == Phase.AFTER and s.attempt > 1 and s.start
    ]
    spans += [
        Span(f"snapshots of {t.name}", _WORTH.get(t.state, "busy"), t.fired, done, t.state)
        for t in course.targets
        if t.fired
    ]
    spans += [
        Span("complete", _kind(s), s.start, s.end, s.outcome)
        for s in course.scripts
        if s.phase == Phase.COMPLETE and s.start
    ]
    return drawn(spans, now, window)


def of_window(course: Course, now: datetime) -> Timeline | None:
    """Return the window alone: before, the call for each target, after; None if its times are not known yet.

    On the instances before comes behind the server's, and after before it.
    """
    befores = [*_spans("", course.before), *_spans_there(course, Phase.BEFORE)]
    afters = [*_spans_there(course, Phase.AFTER), *_spans("", course.after)]
    if not befores and not afters:
        return None
    ends = [span.end for span in befores if span.end]
    fired_from = max(ends) if ends else None if befores else course.ordered
    calls = []
    if fired_from:
        calls = [_call(target, fired_from) for target in course.targets if target.fired]
    held = None
    if ends and afters:
        # On an instance after starts some time behind the word to thaw, with which the hold ends.
        until = max(ends) + course.hold if course.hold else min(span.start for span in afters)
        held = (max(ends), until)
    return drawn([*befores, *calls, *afters], now, held)


def _spans_there(course: Course, phase: Phase) -> Iterator[Span]:
    for each in course.first_there(phase):
        yield from _spans(f" on {each.instance}", each.script)


def _spans(where: str, script: Script | None) -> Iterator[Span]:
    if script and script.start:
        label = f"{script.phase}{where}"
        yield Span(label, _kind(script), script.start, script.end, script.outcome)


def _call(target: Target, since: datetime) -> Span:
    fired = target.fired or since
    kind, words = (
        ("good", "answered before the thaw")
        if target.in_time
        else ("warn", "answered after the thaw had begun")
    )
    return Span(f"call for {target.name}", kind, min(since, fired), fired, words)


_WORTH = {"usable": "good", "failed": "bad", "unknown": "warn"}


def _kind(script: Script) -> str:
    return "good" if script.outcome == Outcome.SUCCEEDED else "bad"
