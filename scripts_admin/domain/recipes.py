"""Recipes: sets of scripts whose settings are in one file. What may be filled in is read from that file itself.

A setting is a line such as `deadline_seconds=75 # the lock ends by itself`: its name, what is there before anybody
fills it in, and what the comment says. A list is written in parentheses. Nothing else in a recipe is changed, but for
the names of its files, which get the policy's name: two policies in one folder each have a set of their own.

What runs on an instance is one file for each phase, as only that is carried there. Such a file reads its parts with
lines such as `. ./part.sh`, in the place of which their texts are put.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scripts_admin.domain import remote

POLICY = "MyPolicy"
FOLDER = "$folder/"  # the settings may name files that lie beside the scripts
_SETTING = re.compile(r"([a-z][a-z0-9_]*)=(\([^)]*\)|[^\s#]*)\s*(?:#\s*(.*))?")
_READS = re.compile(r"\. \./(\S+)\n")
_OF_A_PART = re.compile(r"#!.*|# shellcheck shell=.*|# shellcheck source=.*")


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the settings. `value` is as a person writes it: without quotes, of a list one in each line."""

    name: str
    value: str
    about: str = ""
    is_list: bool = False

    @property
    def is_number(self) -> bool:
        return self.value.isdecimal()

    @property
    def is_yes_or_no(self) -> bool:
        return self.value in {"yes", "no"}


def settings(conf: str) -> list[Setting]:
    """Return the settings of the file, in its order."""
    return [
        _setting(found) for line in conf.splitlines() if (found := _SETTING.fullmatch(line.strip()))
    ]


def _setting(found: re.Match[str]) -> Setting:
    name, value, about = found[1], found[2], found[3] or ""
    if value.startswith("("):
        items = shlex.split(value[1:-1])
        return Setting(name, "\n".join(items), about, is_list=True)
    return Setting(name, value, about)


def filled(conf: str, values: Mapping[str, str]) -> str:
    """Return the settings with these values, quoted for the shell; a line whose value is not there stays."""
    return "".join(_line(line, values) for line in conf.splitlines(keepends=True))


def _line(line: str, values: Mapping[str, str]) -> str:
    found = _SETTING.fullmatch(line.strip())
    if not found or found[1] not in values:
        return line
    known, value = _setting(found), values[found[1]]
    if value.split("\n") == known.value.split("\n"):
        return line
    about = f" # {known.about}" if known.about else ""
    return f"{known.name}={_quoted(known, value)}{about}\n"


def _quoted(known: Setting, value: str) -> str:
    if known.is_list:
        return f"({' '.join(shlex.quote(each) for each in value.splitlines() if each.strip())})"
    if value.startswith(FOLDER):
        return f"$folder/{shlex.quote(value.removeprefix(FOLDER))}"
    return shlex.quote(value) if value else ""


def in_one(text: str, parts: Mapping[str, str]) -> str:
    """Return a script with the parts that it reads in their places."""
    lines = text.splitlines(keepends=True)
    shebang, rest = lines[0], lines[1:]
    return shebang + "".join(map(_without_notes, (_part(line, parts) for line in rest)))


def _part(line: str, parts: Mapping[str, str]) -> str:
    found = _READS.fullmatch(line)
    return f"{parts[found[1]].rstrip()}\n" if found else line


def _without_notes(text: str) -> str:
    """Leave out what a part says for itself: its interpreter, and where shellcheck finds what."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not _OF_A_PART.fullmatch(line.strip()))


def own_name(name: str, policy: str, instance: str = remote.ALL) -> str:
    """Return the name of a recipe's file in the set of the policy; `instance` counts for scripts there."""
    name = name.replace(f"{remote.AT}{remote.ALL}", f"{remote.AT}{instance}")
    if POLICY in name:
        return name.replace(POLICY, policy)
    stem, dot, ending = name.rpartition(".")
    return f"{stem}-{policy}{dot}{ending}" if dot else f"{name}-{policy}"


def own_text(text: str, names: Iterable[str], policy: str) -> str:
    """Return a text of the recipe with the names of its files as they are in the set of the policy."""
    known = {name: own_name(name, policy) for name in names}
    longest_first = sorted(known, key=len, reverse=True)
    pattern = "|".join(rf"(?<![\w.-]){re.escape(name)}(?![\w-])" for name in longest_first)
    return re.sub(pattern, lambda found: known[found[0]], text)
