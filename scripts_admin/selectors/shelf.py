"""A script folder as its page shows it: each file with its meaning, and each policy with its scripts.

Of a folder with very many files all names are read, and only those of one page are looked at.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from django.core.paginator import Page, Paginator

from scripts_admin import linux_accounts, ports
from scripts_admin.domain import file_names, names, remote
from scripts_admin.domain.file_names import Meaning, Meanings, Role
from scripts_admin.domain.phases import Phase
from scripts_admin.domain.remote import ALL
from scripts_admin.domain.shown import shown
from scripts_admin.folders import account, looking, room, storage
from scripts_admin.folders.account import Account
from scripts_admin.folders.carried import InFolder
from scripts_admin.folders.looking import Entry, FileError
from scripts_admin.folders.room import Held
from scripts_admin.guard.spool import RunAs
from scripts_admin.linux_accounts import AccountError
from scripts_admin.models import Folder, ScriptVersion, User
from scripts_admin.ports import LastResult, ScriptedPolicy

PAGE_SIZE = 100
_BITS = "rwxrwxrwx"
MOST_DELETED = 50
MOST_INSTANCES = 200
_CLOCKS_DIFFER = timedelta(seconds=2)  # the disk's and the server's


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of the page. `key` is what an address names it by, empty if its name cannot be shown.

    `problem` says why a script is not run; `note` is what else somebody should know.
    """

    key: str
    name: str
    role: Role
    phase: str = ""
    policy: str = ""
    kind: str = ""
    mode: str = ""
    owner: str = ""
    size: int | None = None
    changed_at: datetime | None = None
    changed_by: str = ""  # empty where nobody has looked since the last change
    problem: str = ""
    note: str = ""
    result: LastResult | None = None
    instance: str = ""  # where it runs, if not on the server


@dataclass(frozen=True, slots=True)
class Slot:
    """A phase of a policy: the files that fit, and how the last one ended."""

    phase: Phase
    files: tuple[str, ...]
    example: str
    result: LastResult | None


@dataclass(frozen=True, slots=True)
class There:
    """An instance with scripts of its own, and the files that fit it by phase; `problem` is a sentence."""

    policy: str
    instance: str
    files: tuple[tuple[str, ...], ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PolicyRow:
    policy: ScriptedPolicy
    slots: tuple[Slot, ...]
    there: tuple[There, ...] = ()


@dataclass(frozen=True, slots=True)
class Deleted:
    """A file that was set aside and can be brought back."""

    hidden: str
    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Shelf:
    """All that the page shows; `problem` is a sentence if the folder, or every script in it, cannot be used."""

    rows: Sequence[FileRow]
    page: Page[Meaning] | None
    policies: tuple[PolicyRow, ...]
    deleted: tuple[Deleted, ...]
    is_cut: bool
    held: Held | None = None  # None: the folder cannot be opened
    problem: str = ""

    @property
    def there(self) -> list[There]:
        """The instances with scripts of their own, of all policies; the first ones, if there are very many."""
        return [each for row in self.policies for each in row.there][:MOST_INSTANCES]


@dataclass(frozen=True, slots=True)
class _Runner:
    """Who runs the scripts of the folder; `problem` if nobody can."""

    identity: RunAs | None = None
    environment: Mapping[str, str] | None = None
    problem: str = ""


def of(folder: Folder, viewer: User, page: str | None = None) -> Shelf:
    """Return the folder's page; `page` is the number that was asked for."""
    policies = ports.policies().of_folders([folder.pk], viewer.pk)
    try:
        with looking.opened(folder) as place:
            listed, is_cut = looking.listed(place, is_root=folder.is_root)
            there = (name for name in listed if file_names.was(name) is None)
            instances = {policy.name: policy.instances for policy in policies}
            found = Meanings(there, instances, instances)
            part = Paginator(found, PAGE_SIZE).get_page(page)
            runner = _runner(folder)
            rows = _rows(folder, place, list(part), policies, runner)
            held = room.held(place, is_root=folder.is_root)
    except FileError as error:
        empty = _policies(policies, [])
        return Shelf((), None, empty, (), is_cut=False, problem=str(error))
    return Shelf(
        rows,
        part,
        _policies(policies, found.scripts),
        _deleted(listed),
        is_cut,
        held,
        runner.problem,
    )


def mode(bits: int) -> str:
    """Return the mode as `ls -l` shows it, such as rwxr-x---."""
    return "".join(letter if bits >> (8 - at) & 1 else "-" for at, letter in enumerate(_BITS))


def _runner(folder: Folder) -> _Runner:
    try:
        found = linux_accounts.script_account(folder)
        identity = linux_accounts.to_become(found)
    except AccountError as error:
        return _Runner(problem=str(error))
    environment = {
        "PATH": storage.SCRIPT_PATH,
        "LANG": "C.UTF-8",
        "HOME": found.home,
        "USER": found.identity.name,
    }
    return _Runner(identity, environment)


def _rows(
    folder: Folder,
    place: int,
    part: Sequence[Meaning],
    policies: Sequence[ScriptedPolicy],
    runner: _Runner,
) -> list[FileRow]:
    results = {
        (policy.name, phase): each for policy in policies for phase, each in policy.results.items()
    }
    authors = _authors(folder, [meaning.name for meaning in part])
    rows = []
    with account.of(runner.identity) as asked:
        for meaning in part:
            row = _with_author(_row(place, meaning), authors)
            if meaning.role == Role.SCRIPT:
                problem = _problem(folder, meaning, None if runner.problem else asked, runner)
                result = results.get((meaning.policy, str(meaning.phase)))
                row = replace(row, problem=problem, result=None if meaning.instance else result)
            rows.append(row)
    return rows


def _authors(folder: Folder, wanted: Sequence[str]) -> dict[str, ScriptVersion]:
    showable = [name for name in wanted if names.is_showable(name)]
    rows = ScriptVersion.objects.filter(folder=folder, name__in=showable, is_newest=True)
    return {row.name: row for row in rows.defer("text")}


def _with_author(row: FileRow, authors: Mapping[str, ScriptVersion]) -> FileRow:
    """Say who made the last change, if it is the one that was kept."""
    kept = authors.get(row.key)
    if kept is None or row.changed_at is None or kept.at < row.changed_at - _CLOCKS_DIFFER:
        return row
    return replace(row, changed_by=kept.author_name)


def _row(place: int, meaning: Meaning) -> FileRow:
    name, notes = meaning.name, [meaning.why]
    key = name if names.is_showable(name) else ""
    phase = str(meaning.phase or "")
    plain = FileRow(
        key, shown(name), meaning.role, phase, meaning.policy, instance=meaning.instance
    )
    if not key:
        notes.append("its name can be neither shown nor stored: rename it over SSH")
    strange = file_names.look_alike(name)
    if strange:
        notes.append(f"its name has a letter that may be taken for another one ({strange})")
    try:
        entry = looking.glance(place, name)
    except FileError as error:
        return replace(plain, note=_joined([*notes, str(error)]))
    if entry is None:
        return replace(plain, note="it is gone by now")
    notes.append(f"it leads to {shown(entry.target)}" if entry.target else entry.why)
    return _with_entry(replace(plain, note=_joined(notes)), entry)


def _with_entry(row: FileRow, entry: Entry) -> FileRow:
    return replace(
        row,
        kind=entry.kind,
        mode=mode(entry.mode),
        owner=linux_accounts.name_of(entry.uid),
        size=entry.size if entry.is_file else None,
        changed_at=entry.changed,
    )


def _joined(notes: Sequence[str]) -> str:
    return "; ".join(note.removesuffix(".") for note in notes if note)


def _problem(folder: Folder, meaning: Meaning, asked: Account | None, runner: _Runner) -> str:
    if meaning.twins:
        fits = ", ".join(shown(name) for name in sorted((meaning.name, *meaning.twins)))
        what = f"{meaning.phase} of {meaning.policy}"
        if meaning.instance:
            what += f" on {'all instances' if meaning.instance == ALL else meaning.instance}"
        return f"More than one file fits {what}, so none is run: keep only one of {fits}."
    script = storage.path(folder) / meaning.name
    if meaning.instance:
        return InFolder(folder, [meaning.name]).why_not_carried(meaning.name)
    if asked is None:
        return storage.why_not_taken(folder, script)
    return storage.why_not_run(folder, script, asked, runner.environment)


def _policies(
    policies: Sequence[ScriptedPolicy], found: Sequence[Meaning]
) -> tuple[PolicyRow, ...]:
    fits: dict[tuple[str, Phase | None], list[str]] = defaultdict(list)
    there: dict[tuple[str, Phase | None, str], list[str]] = defaultdict(list)
    for meaning in found:
        if meaning.instance:
            there[meaning.policy, meaning.phase, meaning.instance].append(meaning.name)
        else:
            fits[meaning.policy, meaning.phase].append(meaning.name)
    return tuple(
        PolicyRow(
            policy,
            tuple(_slot(policy, phase, fits) for phase in Phase),
            tuple(_there(policy, there)),
        )
        for policy in policies
    )


def _fitting(
    found: Mapping[tuple[str, Phase | None, str], list[str]], policy: str, phase: Phase, on: str
) -> tuple[str, ...]:
    own = found.get((policy, phase, on), [])
    return tuple(own or found.get((policy, phase, ALL), []))


def _there(
    policy: ScriptedPolicy, found: Mapping[tuple[str, Phase | None, str], list[str]]
) -> Iterator[There]:
    """Yield the instances of the policy: a file of an instance's own hides those for all."""
    known = policy.instances or {}
    for instance in sorted(each for each, has_scripts in known.items() if has_scripts):
        files = tuple(_fitting(found, policy.name, phase, instance) for phase in remote.PHASES)
        before, after = files
        problem = "nothing thaws what before freezes there" if before and not after else ""
        if max(map(len, files)) > 1:
            problem = "more than one file fits, so none is run"
        yield There(policy.name, instance, files, problem)


def _slot(
    policy: ScriptedPolicy, phase: Phase, fits: Mapping[tuple[str, Phase | None], list[str]]
) -> Slot:
    files = tuple(fits.get((policy.name, phase), ()))
    example = f"{names.base_name(phase, policy.name)}.sh"
    return Slot(phase, files, example, policy.results.get(phase))


def _deleted(listed: Sequence[str]) -> tuple[Deleted, ...]:
    found = []
    for hidden in listed:
        was = file_names.was(hidden)
        if was is not None and names.is_showable(hidden):
            found.append(Deleted(hidden, shown(was[1]), datetime.fromtimestamp(was[0], UTC)))
    found.sort(key=lambda each: each.at, reverse=True)
    return tuple(found[:MOST_DELETED])
