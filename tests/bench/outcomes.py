"""The result of the bench as a file of JSON: what was measured, when, from which commit, on which machine."""

import json
import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.contestants import PROJECT
from tests.bench.goals import Figure, Goal

FORM, VERSION = "n2wbackup bench", 1
FOLDER = PROJECT / ".bench"
Key = tuple[str, str]  # the letter of the part, and what was measured
_KINDS: Mapping[type, str] = {str: "a text", list: "a list", dict: "an object"}


class NoResultError(Exception):
    """The file is no result of this bench; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of the bench. `load`: the machine's average of the minute before it. `size`: full or quick."""

    at: str
    commit: str
    size: str
    load: float
    machine: Mapping[str, str]
    figures: Mapping[Key, Figure]


def outcome(
    goals: Sequence[Goal], *, at: datetime, size: str, load: float, machine: Mapping[str, str]
) -> Outcome:
    figures = {goal.key: goal.figure for goal in goals}
    return Outcome(at.isoformat(timespec="seconds"), _commit(), size, load, machine, figures)


def write(made: Outcome, *places: Path) -> None:
    """Write the result to each of these files."""
    rows = [
        {"part": part, "what": what, **asdict(figure)}
        for (part, what), figure in made.figures.items()
    ]
    about = {"at": made.at, "commit": made.commit, "size": made.size, "load": made.load}
    whole = {
        "form": FORM, "version": VERSION, **about, "machine": dict(made.machine), "figures": rows
    }  # fmt: skip
    for place in places:
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def read(place: Path) -> Outcome:
    """Read such a file; NoResultError says in a sentence why it cannot be used."""
    try:
        whole = json.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoResultError(f"{place} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise NoResultError(f"{place} is no result of `make bench`: it is not JSON.") from error
    except RecursionError as error:
        raise NoResultError(
            f"{place} is no result of `make bench`: it is nested too deeply."
        ) from error
    if not isinstance(whole, dict) or whole.get("form") != FORM:
        raise NoResultError(
            f"{place} is no result of `make bench`: name one of the files in {FOLDER.name}/."
        )
    if whole.get("version") != VERSION:
        raise NoResultError(
            f"{place} has form {whole.get('version')}, and this bench reads form {VERSION}: measure both "
            "with the same bench."
        )
    try:
        return _outcome(whole)
    except KeyError as error:
        raise NoResultError(f"{place} is damaged: a part of the result is missing.") from error
    except NoResultError as error:
        raise NoResultError(f"{place} is damaged: {error}.") from error


def unused(at: datetime) -> Path:
    """Return the path for the result of a run that began then."""
    return FOLDER / f"{at.astimezone(UTC):%Y-%m-%dT%H-%M-%S}.json"


def _outcome(whole: Mapping[str, Any]) -> Outcome:
    """Return what the file says; KeyError or NoResultError says what of it is missing or wrong."""
    figures = dict(_figure(row) for row in _part(whole, "figures", list))
    facts = _part(whole, "machine", dict)
    machine = {name: _text(facts, name) for name in facts}
    at, commit, size = (_text(whole, name) for name in ("at", "commit", "size"))
    return Outcome(at, commit, size, _number(whole, "load"), machine, figures)


def _figure(row: object) -> tuple[Key, Figure]:
    if not isinstance(row, dict):
        raise NoResultError("a figure is not an object")
    low, high = (None if row[name] is None else _number(row, name) for name in ("low", "high"))
    figure = Figure(_number(row, "value"), _text(row, "unit"), low, high)
    return (_text(row, "part"), _text(row, "what")), figure


def _part(of: Mapping[str, Any], name: str, kind: type) -> Any:
    found = of[name]
    if not isinstance(found, kind):
        raise NoResultError(f"`{name}` is not {_KINDS[kind]}")
    return found


def _text(of: Mapping[str, Any], name: str) -> str:
    found: str = _part(of, name, str)
    if found.encode(errors="replace").decode() != found:  # half of a pair, which no terminal takes
        raise NoResultError(f"`{name}` is not {_KINDS[str]}")
    return found


def _number(of: Mapping[str, Any], name: str) -> float:
    found = of[name]
    try:
        if isinstance(found, int | float) and math.isfinite(found):
            return float(found)
    except OverflowError:  # an integer of hundreds of digits
        pass
    raise NoResultError(f"`{name}` is not a finite number")


def _commit() -> str:
    """Return the commit of the tree, and whether files differ from it; "unknown" outside of git."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return f"{commit} and changes" if _git("status", "--porcelain") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=PROJECT, check=True, capture_output=True, text=True)
    return done.stdout.strip()
