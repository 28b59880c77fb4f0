"""Two runs of a policy side by side. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from policies.domain.runs.verdict import Consistency
from scripts_admin.domain.phases import Outcome


class Sides(NamedTuple):
    """The same fact of two runs. `kind` says how a page shows it: a state, a span in seconds, or a text."""

    label: str
    kind: str
    this: str | float | None
    good: str | float | None
    differs: bool


class Script(NamedTuple):
    """What is compared of a phase."""

    name: str = ""
    sha256: str = ""  # of its text; empty: not known
    outcome: str = Outcome.NOT_RUN
    exit_code: int | None = None
    seconds: float | None = None


class Facts(NamedTuple):
    """What is compared of a run. `targets`: their states by name; `snapshots`: how many are completed, of how many."""

    state: str
    consistency: str = Consistency.PENDING
    trigger: str = ""
    hold: float | None = None
    freeze: float | None = None
    whole: float | None = None
    thaw_by: str = ""
    scripts: Mapping[str, Script] = {}
    targets: Mapping[str, str] = {}
    snapshots: tuple[int, int] = (0, 0)


_TWICE = 2  # a span differs when one of the two is more than twice the other
_SHORT = 12
_SMALLEST_SECONDS = 0.05  # and the difference is more than the noise of a machine


def compare(this: Facts, good: Facts) -> tuple[Sides, ...]:
    """Return every fact of both; what one of them lacks is None there."""
    rows = [
        _same("State", "state", this.state, good.state),
        _same("Consistency", "state", this.consistency, good.consistency),
        _same("Trigger", "text", this.trigger, good.trigger),
        _same("Thaw begun by", "text", this.thaw_by, good.thaw_by),
        _span("Hold", this.hold, good.hold),
        _span("Freeze", this.freeze, good.freeze),
        _span("Whole run", this.whole, good.whole),
    ]
    for phase in _names(this.scripts, good.scripts):
        rows += _of_script(phase, this.scripts.get(phase), good.scripts.get(phase))
    for name in _names(this.targets, good.targets):
        rows.append(_same(name, "state", this.targets.get(name), good.targets.get(name)))
    rows.append(_same("Snapshots completed", "text", _count(this), _count(good)))
    return tuple(rows)


def _of_script(phase: str, this: Script | None, good: Script | None) -> list[Sides]:
    mine, other = this or Script(), good or Script()
    return [
        _same(f"{phase}: outcome", "state", mine.outcome, other.outcome),
        _same(f"{phase}: file", "text", mine.name, other.name),
        _text(f"{phase}: text", mine.sha256, other.sha256),
        _same(f"{phase}: exit code", "text", _code(mine), _code(other)),
        _span(f"{phase}: took", mine.seconds, other.seconds),
    ]


def _text(label: str, this: str, good: str) -> Sides:
    """Compare two texts by their hashes; one that is not known differs from none."""
    known = bool(this and good)
    return Sides(label, "text", this[:_SHORT], good[:_SHORT], known and this != good)


def _code(script: Script) -> str:
    return "" if script.exit_code is None else str(script.exit_code)


def _count(run: Facts) -> str:
    done, whole = run.snapshots
    return f"{done} of {whole}"


def _names(one: Iterable[str], other: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*one, *other]))


def _same(label: str, kind: str, this: str | None, good: str | None) -> Sides:
    return Sides(label, kind, this, good, this != good)


def _span(label: str, this: float | None, good: float | None) -> Sides:
    if this is None or good is None:
        return Sides(label, "span", this, good, this is not good)
    small, large = sorted((this, good))
    return Sides(
        label, "span", this, good, large - small > _SMALLEST_SECONDS and large > _TWICE * small
    )
