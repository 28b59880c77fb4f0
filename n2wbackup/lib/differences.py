"""The difference between two texts, line by line, for a page."""

import difflib
from collections.abc import Sequence
from typing import NamedTuple

CONTEXT = 3
# Two long texts that have little in common would keep a page busy for seconds.
_MOST_LINES = 2000


class Line(NamedTuple):
    """One line. `kind`: same, gone, new, or skipped, which stands for the lines between two changes."""

    kind: str
    text: str = ""
    before: int | None = None
    after: int | None = None

    @property
    def sign(self) -> str:
        return {"gone": "-", "new": "+"}.get(self.kind, " ")


def lines(before: str, after: str) -> list[Line] | None:
    r"""Return the lines that differ, with a few around them; none if the texts are the same, None if they are too long.

    A line ends with "\n" alone: another line end is a difference that can be seen.
    """
    old, new = before.split("\n"), after.split("\n")
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    middle_old, middle_new = old[start : len(old) - end], new[start : len(new) - end]
    if not middle_old and not middle_new:
        return []
    if len(middle_old) + len(middle_new) > _MOST_LINES:
        return None
    matcher = difflib.SequenceMatcher(None, middle_old, middle_new, autojunk=False)
    found = [Line("same", text, n + 1, n + 1) for n, text in enumerate(old[:start])]
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            found += [
                Line("same", text, start + a + n + 1, start + c + n + 1)
                for n, text in enumerate(middle_old[a:b])
            ]
            continue
        found += [Line("gone", t, start + a + n + 1) for n, t in enumerate(middle_old[a:b])]
        found += [Line("new", t, None, start + c + n + 1) for n, t in enumerate(middle_new[c:d])]
    shift = len(new) - len(old)
    found += [
        Line("same", text, len(old) - end + n + 1, len(old) - end + n + 1 + shift)
        for n, text in enumerate(old[len(old) - end :] if end else [])
    ]
    return _around(found)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def _around(found: Sequence[Line]) -> list[Line]:
    """Leave out what is far from a change."""
    near = set[int]()
    for n, each in enumerate(found):
        if each.kind != "same":
            near.update(range(n - CONTEXT, n + CONTEXT + 1))
    shown, is_gap = list[Line](), False
    for n, each in enumerate(found):
        if n in near:
            shown.append(each)
        elif not is_gap:
            shown.append(Line("skipped"))
        is_gap = n not in near
    return shown
