"""The layout of an exported document: block mappings and sequences, one scalar a line.

The YAML library spends 2 ms on a policy, most of it on settings that all policies have: 20 s for ten thousand of
them. So it is asked only how to write each different text, all in one call; how these are laid out is simple.
"""

import json
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

_STEP = "  "
_NO_LINE_IS_FOLDED = 1 << 30


def yaml(document: Mapping[str, Any]) -> str:
    """Return the document as YAML. Its keys are words of ours; values are texts, numbers, lists and mappings."""
    texts = _written(sorted(set(_texts(document))))
    return "".join(f"{line}\n" for line in _mapping(document, texts))


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
    one_line = [text for text in texts if text.isprintable()]
    into, library = StringIO(), YAML(typ="safe", pure=True)
    library.width, library.default_flow_style = _NO_LINE_IS_FOLDED, False
    library.dump(one_line, into)
    lines = into.getvalue().splitlines() if one_line else []
    found = {t: line.removeprefix("- ") for t, line in zip(one_line, lines, strict=True)}
    # What JSON writes is YAML, too.
    return found | {text: json.dumps(text) for text in texts if text not in found}


def _mapping(value: Mapping[str, Any], texts: Mapping[str, str]) -> Iterator[str]:
    for key, one in value.items():
        if isinstance(one, Mapping) and one:
            yield f"{key}:"
            yield from (f"{_STEP}{line}" for line in _mapping(one, texts))
        elif isinstance(one, list | tuple) and one:
            yield f"{key}:"
            yield from _sequence(one, texts)
        else:
            yield f"{key}: {_scalar(one, texts)}"


def _sequence(value: list[Any] | tuple[Any, ...], texts: Mapping[str, str]) -> Iterator[str]:
    for one in value:
        lines = _mapping(one, texts) if isinstance(one, Mapping) else [_scalar(one, texts)]
        for number, line in enumerate(lines):
            yield f"{_STEP if number else '- '}{line}"


def _scalar(one: object, texts: Mapping[str, str]) -> str:
    if isinstance(one, str):
        return texts[one]
    return json.dumps(one)  # true, false, null, a number, [] or {}
