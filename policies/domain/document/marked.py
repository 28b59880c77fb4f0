"""YAML in which every value has its line and column, so that each mistake is reported at its place.

The text is composed into nodes, not constructed into objects: nothing in the document is executed, no date or
number is guessed, and a value of the wrong kind still has its place. Sentences name kinds, never values, so
that a secret in the wrong place is not repeated.
"""

import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

_TAG = "tag:yaml.org,2002:"
_KINDS = {
    "map": "a mapping",
    "seq": "a list",
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
}
_DIGITS = 15
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Place(NamedTuple):
    """The place of a value: line and column from 1, and the field's path."""

    line: int
    column: int
    field: str

    def under(self, key: str) -> "Place":
        """Return the same line and column for a key that is missing there."""
        return self._replace(field=_join(self.field, key))


class Mistake(NamedTuple):
    """A mistake with its place; the sentence says what to do. Sorts by line."""

    place: Place
    sentence: str


class BrokenYamlError(Exception):
    """The text is not a YAML document."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.sentence)
        self.mistake = mistake


@dataclass(frozen=True, slots=True)
class Entry:
    """A mapping as it was read: the values that could be read, and the place of every key.

    `unread` are the keys whose values were reported as mistakes, wholly or in part. In a key that is asked for,
    each dot leads into the mapping below.
    """

    place: Place
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)

    def get(self, key: str) -> Any:  # noqa: ANN401 - as the key's kind takes it
        """Return the key's value; None if the key is missing or its value could not be read."""
        step, _, rest = key.partition(".")
        value = self.values.get(step)
        if not rest:
            return value
        return value.get(rest) if isinstance(value, Entry) else None

    def where(self, key: str) -> Place:
        """Return the place of a key's value; if the key is missing, the place of the entry."""
        step, _, rest = key.partition(".")
        below = self.values.get(step)
        if rest and isinstance(below, Entry):
            return below.where(rest)
        return self.places.get(key) or self.place.under(key)

    def is_unread(self, key: str) -> bool:
        """Return whether the key is there but its value could not be read."""
        step, _, rest = key.partition(".")
        below = self.values.get(step)
        if below is None:
            return step in self.unread
        return bool(rest) and isinstance(below, Entry) and below.is_unread(rest)


class WrongError(Exception):
    """The value is not accepted; the text says why."""


class Placed(NamedTuple):
    """A value of a list, and its place."""

    value: Any
    place: Place


Mistakes = list[Mistake]
Kind = Callable[[Node, Place, Mistakes], Any]  # raises WrongError


@dataclass(frozen=True, slots=True)
class Key:
    """The kind of a key's value; a key with a `refusal` is refused with this sentence."""

    kind: Kind
    required: bool = False
    refusal: str = ""


def compose(text: str) -> Node | None:
    """Return the root of the text's only document, None if it is empty; BrokenYamlError if it is not YAML."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # YAML allows to define an anchor twice
            root: Node | None = YAML(typ="rt").compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        words = ", ".join(part for part in (error.context, error.problem) if part)
        # A quoted text may be a secret in the wrong place, so only single characters stay.
        raise _broken(at, re.sub(r"""(['"]).{2,}\1""", "…", words)) from None
    except ReaderError as error:
        position = max(text.find(chr(error.character)), 0)
        line = text.count("\n", 0, position) + 1
        column = position - text.rfind("\n", 0, position)
        words = f"the character U+{error.character:04X} is not allowed in YAML"
        raise _broken((line, column), words) from None
    except RecursionError:
        raise _broken((1, 1), "it is nested too deeply") from None
    return root


def _broken(at: tuple[int, int], words: str) -> BrokenYamlError:
    sentence = f"This is not YAML ({words}): correct it here or just before."
    return BrokenYamlError(Mistake(Place(*at, "document"), sentence))


def text(node: Node, _place: Place, _mistakes: Mistakes) -> str:
    """Accept text that is not empty."""
    if _kind(node) != "text":
        raise WrongError(f"This must be text, not {_kind(node)}: put it into quotes.")
    if not node.value.strip():
        raise WrongError("This must not be empty: write a value, or remove the key.")
    return _storable(node)


def scalar(node: Node, _place: Place, _mistakes: Mistakes) -> str:
    """Accept one value as it is written, such as a date or a time of day, without YAML's conversion."""
    if not isinstance(node, ScalarNode) or _kind(node) == "nothing":
        raise WrongError(f"This must be one value, not {_kind(node)}.")
    return _storable(node)


def _storable(node: Node) -> str:
    """Return the node's text; WrongError if a database cannot store it."""
    found = next(
        (each for each in node.value if each == "\0" or unicodedata.category(each) == "Cs"), ""
    )
    if found:
        raise WrongError(f"Text cannot have the character U+{ord(found):04X}: remove it.")
    return str(node.value)


def truth(node: Node, _place: Place, _mistakes: Mistakes) -> bool:
    """Accept true or false."""
    if _kind(node) != "true or false":
        raise WrongError(f"This must be true or false, not {_kind(node)}.")
    return _TRUTHS[node.value.lower()]


def number(node: Node, _place: Place, _mistakes: Mistakes) -> int:
    """Accept a whole decimal number."""
    if node.tag != f"{_TAG}int" or not node.value.lstrip("+-").isdecimal():
        if _kind(node) == "a number":
            raise WrongError("This must be a whole number: write decimal digits only, such as 16.")
        raise WrongError(f"This must be a whole number, not {_kind(node)}.")
    if len(node.value) > _DIGITS:
        raise WrongError(f"This number has {len(node.value)} digits: write a smaller one.")
    return int(node.value)


def or_nothing(kind: Kind) -> Kind:
    """Return a kind that accepts the same values as `kind`, and null as None."""

    def take(node: Node, place: Place, mistakes: Mistakes) -> Any:  # noqa: ANN401 - as `kind` takes it
        return None if _kind(node) == "nothing" else kind(node, place, mistakes)

    return take


def placed(kind: Kind) -> Kind:
    """Return a kind that accepts the same values as `kind`, and gives each with its place."""

    def take(node: Node, place: Place, mistakes: Mistakes) -> Placed:
        return Placed(kind(node, place, mistakes), place)

    return take


def list_of(kind: Kind) -> Kind:
    """Return the kind of lists of `kind`; an item that cannot be read is reported and left out."""

    def take(node: Node, place: Place, mistakes: Mistakes) -> tuple[Any, ...]:
        if not isinstance(node, SequenceNode):
            raise WrongError(f"This must be a list, not {_kind(node)}.")
        taken = []
        for number_of, item in enumerate(node.value):
            spot = _place(item, f"{place.field}[{number_of}]")
            try:
                taken.append(kind(item, spot, mistakes))
            except WrongError as wrong:
                mistakes.append(Mistake(spot, str(wrong)))
        return tuple(taken)

    return take


def shape(keys: Mapping[str, Key]) -> Kind:
    """Return the kind of mappings with these keys; a value of it is an Entry."""

    def take(node: Node, place: Place, mistakes: Mistakes) -> Entry:
        if not isinstance(node, MappingNode):
            raise WrongError(f"This must be a mapping (key: value), not {_kind(node)}.")
        entry = Entry(place)
        for name, spot, value in _pairs(node, place, mistakes):
            if name not in keys:
                mistakes.append(Mistake(spot, _unknown(name, keys)))
            else:
                _take_key(entry, name, keys[name], (value, spot), mistakes)
        for name, key in keys.items():
            if key.required and name not in entry.places:
                mistakes.append(Mistake(place.under(name), f"{name} is missing: add it."))
                entry.unread.add(name)
        return entry

    return take


def _take_key(
    entry: Entry, name: str, key: Key, found: tuple[Node, Place], mistakes: Mistakes
) -> None:
    node, key_place = found
    told = len(mistakes)
    spot = _place(node, key_place.field)
    entry.places[name] = spot
    try:
        if key.refusal:
            spot = key_place
            raise WrongError(key.refusal)  # noqa: TRY301 - reported like any other value
        entry.values[name] = key.kind(node, spot, mistakes)
    except WrongError as wrong:
        mistakes.append(Mistake(spot, str(wrong)))
    if len(mistakes) > told:
        entry.unread.add(name)


def _pairs(
    node: MappingNode, place: Place, mistakes: Mistakes
) -> Iterator[tuple[str, Place, Node]]:
    """Yield key, place of the key and value. A key that appears twice is reported; own keys win over merged ones."""
    own: dict[str, tuple[Place, Node]] = {}
    for key, value in node.value:
        if key.tag == f"{_TAG}merge":
            continue
        name = str(key.value) if isinstance(key, ScalarNode) else "?"
        spot = _place(key, _join(place.field, name))
        if name in own:
            first = own[name][0].line
            sentence = f"{name} appears twice (first in line {first}): remove one of them."
            mistakes.append(Mistake(spot, sentence))
        else:
            own[name] = (spot, value)
    for name, (key, value) in _merged(node, set()).items():
        own.setdefault(name, (_place(key, _join(place.field, name)), value))
    for name, (spot, value) in own.items():
        yield name, spot, value


def _merged(node: Node, seen: set[int]) -> dict[str, tuple[Node, Node]]:
    """Return the keys and values that `<<` merges into the mapping; for each key the first source wins."""
    found: dict[str, tuple[Node, Node]] = {}
    if id(node) in seen or not isinstance(node, MappingNode):
        return found
    seen.add(id(node))
    for key, value in node.value:
        if key.tag != f"{_TAG}merge":
            continue
        for source in value.value if isinstance(value, SequenceNode) else [value]:
            if not isinstance(source, MappingNode):
                continue
            plain = {str(k.value): (k, v) for k, v in source.value if k.tag != f"{_TAG}merge"}
            for name, pair in {**_merged(source, seen), **plain}.items():
                found.setdefault(name, pair)
    return found


def _unknown(name: str, keys: Mapping[str, Key]) -> str:
    open_keys = [key for key, about in keys.items() if not about.refusal]
    near = get_close_matches(name, open_keys, n=1, cutoff=0.6)
    if near:
        return f"{name} is not known here: did you mean {near[0]}?"
    return f"{name} is not known here: the keys are {', '.join(open_keys)}."


def _kind(node: Node) -> str:
    tag = str(node.tag)
    return _KINDS.get(tag.removeprefix(_TAG), "a value with a tag of its own")


def _place(node: Node, path: str) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1, path)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
