"""The names of files in a script folder: which may be given, and what a name that is there already means."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import overload

from scripts_admin.domain import names, remote, remote_names
from scripts_admin.domain.phases import Phase
from scripts_admin.domain.remote import AT
from scripts_admin.domain.remote_names import Instances
from scripts_admin.domain.shown import shown

LONGEST = 200  # bytes; a name that is set aside becomes longer, and 255 is the kernel's limit
_GIVEN = re.compile(r"[A-Za-z0-9_@+.-]+")
_UNFINISHED = re.compile(r"\.n2w-[0-9a-f-]{36}")
_ASIDE = re.compile(r"\.deleted-([0-9]{10})-(.+)", re.DOTALL)


def why_not_given(name: str) -> str:
    """Return a sentence that says why no file may get this name here, or "" if it may."""
    if not name:
        return "The file needs a name: write one, such as before_policy1.sh."
    why = next((why for is_wrong, why in _RULES if is_wrong(name)), "")
    if not why and not _GIVEN.fullmatch(name):
        why = f"use only the letters a-z and A-Z, digits and _ @ + . - ({_strange(name)})"
    return f"The file cannot be called {shown(name)!r}: {why}." if why else ""


_RULES: tuple[tuple[Callable[[str], bool], str], ...] = (
    (
        lambda name: "/" in name or name in {".", ".."},
        "a name has no slash and leads to no other folder, so leave the path out",
    ),
    (
        lambda name: len(name.encode("utf-8", "surrogateescape")) > LONGEST,
        f"it has more than {LONGEST} bytes, so choose a shorter one",
    ),
    (
        lambda name: name.startswith("."),
        "files that begin with a dot are hidden and never run, so leave the dot out",
    ),
    (
        lambda name: name.startswith("-"),
        "programs take a leading dash for an option, so begin with a letter",
    ),
    (
        names.is_ignored,
        "names that end so are left behind by editors and never run, so choose another ending",
    ),
)


def _strange(name: str) -> str:
    found = next(one for one in name if not _GIVEN.fullmatch(one))
    if found == " ":
        return "there is a blank in it"
    return f"there is {_code(found)} in it"


def _code(letter: str) -> str:
    word = unicodedata.name(letter, "")
    return f"U+{ord(letter):04X}{f' {word}' if word else ''}"


def look_alike(name: str) -> str:
    """Return which letter of the name may be taken for another one, or "" if every letter is plain ASCII."""
    found = next((one for one in name if not one.isascii()), "")
    return _code(found) if found and names.is_showable(name) else ""


class Role(StrEnum):
    """What a file is for, in the order of a page."""

    SCRIPT = "script"
    STRAY = "stray"  # it has a phase's name, and no policy of this folder is called so
    HELPER = "helper"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name means in a folder; `why` is a sentence for what is not run, and `twins` fit the same phase.

    `instance` is where the script runs: an instance's id, `all`, or "" for the server.
    """

    name: str
    role: Role
    phase: Phase | None = None
    policy: str = ""
    twins: tuple[str, ...] = ()
    why: str = ""
    instance: str = ""


class Meanings(Sequence[Meaning]):
    """What each name means: scripts first, by policy and phase, then all others.

    A folder may have very many files: what a name means is worked out when somebody asks for it.
    """

    def __init__(
        self, listed: Iterable[str], policies: Iterable[str], instances: Instances | None = None
    ) -> None:
        """Each name is looked at once, and quickly. `instances` are those of the policies."""
        policies = list(policies)
        self._instances: Instances = {each: {} for each in policies} | dict(instances or {})
        self._bases = {
            names.base_name(phase, each): (each, phase) for each in policies for phase in Phase
        }
        self._folded = {base.lower(): base for base in self._bases}
        fits: dict[tuple[str, Phase, str], list[str]] = {}
        by_role: dict[Role, list[str]] = {role: [] for role in Role}
        for name in listed:
            stem, _, rest = name.partition(".")
            if not stem or name.endswith(names.IGNORED_ENDINGS):
                by_role[Role.IGNORED].append(name)
            elif rest and stem in self._bases:
                fits.setdefault((*self._bases[stem], ""), []).append(name)
            elif AT in stem and (served := self._serves(name)):
                fits.setdefault(served, []).append(name)
            elif stem[:_LONGEST_PHASE].lower().startswith(_PHASES):
                by_role[Role.STRAY].append(name)
            else:
                by_role[Role.HELPER].append(name)
        self.scripts = [
            self._script(name, served, tuple(sorted(set(found) - {name})), fits)
            for served, found in sorted(fits.items(), key=_by_policy)
            for name in sorted(found)
        ]
        self._others = [(name, role) for role in Role for name in sorted(by_role[role])]

    def _serves(self, name: str) -> tuple[str, Phase, str] | None:
        """Return policy, phase and instance of a file that serves an instance; None if it serves none."""
        found = remote.named(name)
        if found is None or remote_names.why_none(found, self._instances):
            return None
        return found.policy, found.phase, found.instance

    def _script(
        self,
        name: str,
        served: tuple[str, Phase, str],
        twins: tuple[str, ...],
        fits: Mapping[tuple[str, Phase, str], Sequence[str]],
    ) -> Meaning:
        policy, phase, instance = served
        why = ""
        if instance == remote.ALL:
            listed = (
                each
                for (of, when, _), found in fits.items()
                if (of, when) == (policy, phase)
                for each in found
            )
            why = remote_names.note(remote.Named(phase, policy, instance), listed, self._instances)
        return Meaning(name, Role.SCRIPT, phase, policy, twins, why, instance)

    def __len__(self) -> int:
        return len(self.scripts) + len(self._others)

    @overload
    def __getitem__(self, at: int) -> Meaning: ...
    @overload
    def __getitem__(self, at: slice) -> list[Meaning]: ...
    def __getitem__(self, at: int | slice) -> Meaning | list[Meaning]:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        count = len(self.scripts)
        return self.scripts[at] if at < count else self._other(*self._others[at - count])

    def _other(self, name: str, role: Role) -> Meaning:
        why = ""
        if role == Role.IGNORED:
            why = _why_ignored(name)
        elif role == Role.STRAY:
            why = self._why_stray(name)
            for_instances = remote.named(name)
            if for_instances is not None:
                why = remote_names.why_none(for_instances, self._instances)
        return Meaning(name, role, why=why)

    def _why_stray(self, name: str) -> str:
        stem = name.partition(".")[0]
        if stem in self._bases or remote.named(f"{stem}.sh"):
            return "nothing stands behind a dot in its name: rename it if you mean it"
        near = self._folded.get(stem.lower())
        if near:
            return f"upper and lower case differ from {near}: rename it if you mean it"
        policy = stem.partition("_")[2]
        said = shown(policy) if policy else "without a name"
        return f"this folder has no policy {said}: rename the file, or make the policy"


_PHASES = tuple(f"{phase}_" for phase in Phase)
_LONGEST_PHASE = max(map(len, _PHASES))
_ORDER = list(Phase)


def _by_policy(item: tuple[tuple[str, Phase, str], list[str]]) -> tuple[str, int, str]:
    (policy, phase, instance), _ = item
    return policy, _ORDER.index(phase), instance


def _why_ignored(name: str) -> str:
    if name.startswith("."):
        return "hidden files are never run"
    ending = next((each for each in names.IGNORED_ENDINGS if name.endswith(each)), "")
    return f"names that end in {ending} are left behind by editors or packages" if ending else ""


def set_aside(name: str, second: int) -> str:
    """Return the hidden name that a file has while its deletion can be undone."""
    return f".deleted-{second:010d}-{name}"


def is_unfinished(name: str) -> bool:
    """Tell whether a save that never ended left this behind."""
    return _UNFINISHED.fullmatch(name) is not None


def unfinished(word: str) -> str:
    """Return the hidden name of a file while it is written; `word` is an UUID."""
    return f".n2w-{word}"


def was(hidden: str) -> tuple[int, str] | None:
    """Return when the file was deleted, in seconds, and its former name; None if it was not deleted here."""
    found = _ASIDE.fullmatch(hidden)
    return (int(found[1]), found[2]) if found else None


def renamed(listed: Iterable[str], policy: str, to: str) -> list[tuple[str, str]]:
    """Return the old and the new name of each script when the policy is renamed, those for its instances among them."""
    found = list(listed)
    return [
        (name, names.base_name(phase, to) + name[len(names.base_name(phase, policy)) :])
        for phase in Phase
        for name in names.candidates(found, phase, policy)
    ] + remote_names.renamed(found, policy, to)
