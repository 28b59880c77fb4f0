"""The layout of an exported document: block mappings and sequences, one scalar a line.

The YAML library spends 2 ms on a policy, most of it on settings that all policies have: 20 s for ten thousand of
them. So it is asked only how to write each different text, all in one call; how these are laid out is simple.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

_STEP = "  "
_NO_LINE_IS_FOLDED = 1 << 30
# A name such as policy1, us-east-1 or i-0123. No word that YAML reads as something else has such a sign in it.
_PLAIN = re.compile(r"[A-Za-z]+[-_0-9][-_A-Za-z0-9]*")


def yaml(document: Mapping[str, Any]) -> str:
    """Return the document as YAML. Its keys are words of ours; values are texts, numbers, lists and mappings."""
    lines: list[str] = []
    _Writing(_written(sorted(set(_texts(document)))), lines).mapping(document, "", "")
    return "".join(f"{line}\n" for line in lines)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield str(value)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _written(texts: list[str]) -> dict[str, str]:
    """Return each text as YAML writes it: plain, or quoted where it would be read as something else."""
    found = {text: text for text in texts if _PLAIN.fullmatch(text)}
    one_line = [text for text in texts if text.isprintable() and text not in found]
    lines = _dumped(one_line).splitlines() if one_line else []
    found |= {t: line.removeprefix("- ") for t, line in zip(one_line, lines, strict=True)}
    return found | {t: _dumped(t, '"').rstrip("\n") for t in texts if t not in found}


def _dumped(value: list[str] | str, style: str | None = None) -> str:
    into, library = StringIO(), YAML(typ="safe", pure=True)
    library.width, library.default_flow_style = _NO_LINE_IS_FOLDED, False
    library.default_style = style  # type: ignore[assignment] # its attribute bears no annotation
    library.dump(value, into)
    return into.getvalue()


class _Writing:
    def __init__(self, texts: Mapping[str, str], lines: list[str]) -> None:
        self._texts, self._lines = texts, lines

    def mapping(self, value: Mapping[str, Any], first: str, indent: str) -> None:
        """Write a mapping; its first line begins with `first`, the others with `indent`."""
        begin = first
        for key, one in value.items():
            if isinstance(one, dict) and one:
                self._lines.append(f"{begin}{key}:")
                self.mapping(one, indent + _STEP, indent + _STEP)
            elif isinstance(one, list | tuple) and one:
                self._lines.append(f"{begin}{key}:")
                self._sequence(one, indent)
            else:
                self._lines.append(f"{begin}{key}: {self._scalar(one)}")
            begin = indent

    def _sequence(self, value: Sequence[Any], indent: str) -> None:
        for one in value:
            if isinstance(one, dict):
                self.mapping(one, f"{indent}- ", indent + _STEP)
            else:
                self._lines.append(f"{indent}- {self._scalar(one)}")

    def _scalar(self, one: object) -> str:
        if isinstance(one, str):
            return self._texts[one]
        return json.dumps(one)  # true, false, null, a number, [] or {}
