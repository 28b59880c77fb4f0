"""Two results side by side: the ratio of each figure, and whether their spreads let one tell a difference."""

from collections.abc import Iterator

from tests.bench.goals import Figure
from tests.bench.outcomes import Key, Outcome
from tests.bench.tables import table

HEAD = ("", "what", "old", "new", "new / old", "")
# What one of the machine's facts is worth for a comparison of seconds and bytes.
_TELLING = ("CPU", "Memory", "Kernel", "Python", "Packages")


def text(old: Outcome, new: Outcome) -> str:
    """Return the comparison as Markdown."""
    both = [key for key in new.figures if key in old.figures]
    rows = [_row(key, old.figures[key], new.figures[key]) for key in both]
    parts = ["## Compared", table(HEAD, rows) if rows else "The two have no figure in common."]
    parts += ["\n".join(f"- {line}" for line in _notes(old, new)), table(*_facts(old, new))]
    return "\n\n".join(parts) + "\n"


def verdict(old: Figure, new: Figure) -> str:
    """Say whether a difference can be told: only if neither may be what the other may be."""
    if old.low is None or old.high is None or new.low is None or new.high is None:
        return "cannot be told: measured once"
    if old.low <= new.high and new.low <= old.high:
        return "the same" if old == new else "no difference beyond the spread"
    return "lower" if new.value < old.value else "higher"


def _row(key: Key, old: Figure, new: Figure) -> tuple[str, ...]:
    ratio = f"**{new.value / old.value:.2f}**" if old.value > 0 and new.value >= 0 else ""
    return (*key, _shown(old), _shown(new), ratio, verdict(old, new))


def _shown(figure: Figure) -> str:
    value = f"{figure.value:.4g} {figure.unit}".rstrip()
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return value
    return f"{value} ({figure.low:.3g} to {figure.high:.3g})"


def _notes(old: Outcome, new: Outcome) -> Iterator[str]:
    yield (
        "Old and new are figures with the interval in which each is sure to lie. A difference can be told where the "
        "intervals have nothing in common."
    )
    differs = [name for name in _TELLING if old.machine.get(name) != new.machine.get(name)]
    if differs:
        yield f"The machines differ ({', '.join(differs)}): believe counts and ratios, not seconds and bytes."
    if old.size != new.size:
        yield f"The old one is {old.size} and the new one {new.size}: sizes differ."
    parts = {part for part, _ in new.figures}
    gone = [
        what for (part, what) in old.figures if part in parts and (part, what) not in new.figures
    ]
    come = [what for key in new.figures if key not in old.figures for what in key[1:]]
    if gone:
        yield f"Only in the old one: {'; '.join(gone)}."
    if come:
        yield f"Only in the new one: {'; '.join(come)}."


def _facts(old: Outcome, new: Outcome) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    names = dict.fromkeys((*old.machine, *new.machine))
    rows: list[tuple[str, ...]] = [
        ("Date", old.at, new.at),
        ("Commit", old.commit, new.commit),
        ("Size", old.size, new.size),
        ("Load when it began", f"{old.load:.2f}", f"{new.load:.2f}"),
    ]
    rows += [(name, old.machine.get(name, ""), new.machine.get(name, "")) for name in names]
    return ("", "old", "new"), rows
