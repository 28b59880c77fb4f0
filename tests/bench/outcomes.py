"""The result of the bench as a file of JSON: what was measured, when, from which commit, on which machine."""

import json
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
    except (KeyError, TypeError, ValueError) as error:
        raise NoResultError(f"{place} is damaged: a part of the result is missing.") from error


def unused(at: datetime) -> Path:
    """Return the path for the result of a run that began then."""
    return FOLDER / f"{at.astimezone(UTC):%Y-%m-%dT%H-%M-%S}.json"


def _outcome(whole: Mapping[str, Any]) -> Outcome:
    figures = {
        (str(row["part"]), str(row["what"])): Figure(
            float(row["value"]), str(row["unit"]), _number(row["low"]), _number(row["high"])
        )
        for row in whole["figures"]
    }
    machine = {str(name): str(fact) for name, fact in whole["machine"].items()}
    load = float(whole["load"])
    return Outcome(whole["at"], whole["commit"], whole["size"], load, machine, figures)


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


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
