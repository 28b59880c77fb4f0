"""What is wrong with the scripts of a folder, without running one."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from django.conf import settings

from scripts_admin import linux_accounts
from scripts_admin.domain import names, remote
from scripts_admin.domain.lint import on_files, on_sets, on_text, rules
from scripts_admin.domain.lint.on_disks import NOWHERE, Surroundings
from scripts_admin.domain.lint.on_files import Entry, Owners
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.domain.remote import Remote
from scripts_admin.domain.shown import shown
from scripts_admin.domain.texts import Kind
from scripts_admin.folders import account, checkers, linting_carried, storage
from scripts_admin.folders.account import Account
from scripts_admin.folders.looking import File
from scripts_admin.folders.storage import Content, Found
from scripts_admin.guard.spool import RunAs
from scripts_admin.linux_accounts import AccountError
from scripts_admin.models import Folder

__all__ = ["Level", "Remark"]

HELPERS_AT_MOST = 40  # a folder may have 100,000 files
_HELPER_BYTES = 256 * 1024
_KEPT = 256
# What the look for scripts says in its own words already, when it says that a script cannot run.
_SAID_TWICE = frozenset(("empty", "no-shebang", "bom", "crlf"))
_known: OrderedDict[str, list[Remark]] = OrderedDict()  # what is known of a text, by its digest


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder that is looked at, and what judges its files."""

    folder: Folder
    asked: Account
    environment: Mapping[str, str] | None
    owners: Owners
    around: Surroundings
    scripts: dict[tuple[str, str], Script] = field(default_factory=dict)


def of_text(
    name: str, text: str, around: Surroundings | None = None, how: Remote | None = None
) -> list[Remark]:
    """Return what is wrong with a file of this name and text, in the order of its lines.

    Only what the text itself says: its mode, its owner and the other files of its folder are not looked at. A script
    that runs on an instance is judged by `how` it gets there (None: not known), and never by what this server has.
    """
    script = Script(shown(name), text)
    around = NOWHERE if script.is_on_instance else around or surroundings()
    found = rules.of_script(script, around, how)
    if script.is_shell and not on_text.is_private_key(text) and text.strip():
        found += _checked(script)
    return rules.in_order(replace(each, file=script.name, files=(script.name,)) for each in found)


def _checked(script: Script) -> list[Remark]:
    """Return what other programs say; the same text is asked about once, also if they took too long for it."""
    key = hashlib.sha256(f"{script.name}\0{script.text}".encode(errors="replace")).hexdigest()
    found = _known.pop(key, None)
    if found is None:
        found = checkers.of_script(script)
    if all(each.code != checkers.BUSY for each in found):
        _known[key] = found
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return found


def of_file(folder: Folder, file: File) -> list[Remark]:
    """Return what is wrong with one file of a folder, for its page; its policy's other scripts are not looked at."""
    entry = Entry(
        shown(file.entry.name), file.entry.mode, file.entry.uid, file.entry.kind == Kind.KEY
    )
    try:
        identity = linux_accounts.to_become(linux_accounts.script_account(folder))
    except AccountError:  # the page of the accounts says so
        identity = None
    found = [*on_files.not_executable(entry), *on_files.of_entry(entry, _owners(folder, identity))]
    if file.content is None:
        return found
    if remote.named(file.entry.name):
        found += linting_carried.of_content(file.entry.name, file.content)
        return found + of_text(file.entry.name, file.text)
    return found + of_text(file.entry.name, file.text, surroundings(folder))


def surroundings(folder: Folder | None = None) -> Surroundings:
    """Return what a frozen disk of this machine would hold up."""
    scripts = storage.path(folder) if folder else Path(settings.N2W_SCRIPTS_ROOT)
    needed = (
        (str(scripts.resolve()), "the scripts"),
        (str(Path(settings.N2W_HOME).resolve()), "the server's own files"),
    )
    return Surroundings(tuple(_mounts()), needed)


def _mounts() -> Iterator[str]:
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        lines = []
    yield "/"
    for line in lines:
        yield line.split(" ")[4].replace("\\040", " ")


def look(
    folder: Folder,
    policies: Iterable[str],
    identity: RunAs | None,
    environment: Mapping[str, str] | None = None,
    *,
    all_policies: Collection[str] | None = None,
    remotes: Mapping[str, Mapping[str, Remote]] | None = None,
) -> list[Remark]:
    """Return what is wrong with the scripts of these policies, judged for the account as before a run.

    With `all_policies`, the names of every policy of the folder, its helpers are looked at, too. `remotes` says of
    policies how scripts get to their instances.
    """
    policies = list(policies)
    with account.of(identity) as asked:
        place = _Place(folder, asked, environment, _owners(folder, identity), surroundings(folder))
        found = [remark for policy in policies for remark in _of_policy(place, policy)]
    for policy in policies if remotes is not None else ():
        found += linting_carried.look(folder, policy, (remotes or {}).get(policy, {}), _of_carried)
    if all_policies is not None:
        found += _of_helpers(place, all_policies)
    return found


def _of_carried(name: str, text: str, how: Remote) -> list[Remark]:
    return of_text(name, text, how=how)


def _owners(folder: Folder, identity: RunAs | None) -> Owners:
    """Return whose files may lie in the folder: the server's, root's, the script account's, the folder's own."""
    uids = {0, os.geteuid()}
    name = "the server's account"
    if identity is not None:
        uids.add(identity.uid)
        name = identity.name
    with suppress(OSError):
        uids.add(storage.path(folder).stat().st_uid)
    return Owners(frozenset(uids), name)


def _of_policy(place: _Place, policy: str) -> Iterator[Remark]:
    has: dict[str, bool] = {}
    for phase in Phase:
        found = storage.find(
            place.folder, phase, policy, None, asked=place.asked, environment=place.environment
        )
        has[phase] = found.outcome != Outcome.MISSING
        for remark in _of_phase(place, found, policy):
            yield replace(remark, policy=policy, phase=phase)
    mine = {phase: script for (of, phase), script in place.scripts.items() if of == policy}
    for remark in on_sets.of_set(mine, has):
        yield replace(remark, policy=policy, phase=Phase.BEFORE, files=(remark.file,))


def _of_phase(place: _Place, found: Found, policy: str) -> Iterator[Remark]:
    if found.path is None:
        if found.problem:
            code = "ambiguous" if found.outcome == Outcome.AMBIGUOUS else "not-taken"
            yield _problem(found, code)
        elif found.outcome == Outcome.MISSING:
            yield from _near(place.folder, policy, found.phase)
        return
    try:
        content = storage.content(place.folder, found.path)
    except OSError:  # the problem says why
        yield from [_problem(found, "not-taken")] if found.problem else []
        return
    text = _of_content(place, found.path.name, content)
    lacks_bit = not content.mode & on_files.EXECUTABLE
    if found.problem:
        said = next((each.code for each in text if each.code in _SAID_TWICE), "cannot-run")
        yield _problem(found, on_files.NOT_EXECUTABLE if lacks_bit else said)
        text = [
            each
            for each in text
            if lacks_bit or each.level != Level.ERROR or each.code not in _SAID_TWICE
        ]
    yield from text
    if content.data[:2] == b"#!":
        place.scripts[policy, found.phase] = Script(found.names[0], _decoded(content.data))


def _problem(found: Found, code: str) -> Remark:
    return Remark(
        Level.ERROR, code, found.problem, found.names[0] if found.names else "", files=found.names
    )


def _of_content(place: _Place, name: str, content: Content) -> list[Remark]:
    said = shown(name)
    text = _decoded(content.data)
    entry = Entry(said, content.mode, content.uid, on_text.is_private_key(text))
    found = list(on_files.of_entry(entry, place.owners))
    if b"\0" not in content.data[:4096]:
        found += of_text(name, text, place.around)
    return found


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _of_helpers(place: _Place, policies: Collection[str]) -> Iterator[Remark]:
    """Yield what is wrong with the files that belong to no phase of a policy."""
    try:
        listed = sorted(
            name
            for name in storage.listed(place.folder)
            if not names.is_ignored(name) and names.is_showable(name)
        )
    except OSError:  # each phase says so
        return
    folder = place.folder.name
    yield from on_files.without_policy([shown(name) for name in listed], policies, folder)
    helpers = [name for name in listed if not Script(name, "").phase]
    if len(helpers) > HELPERS_AT_MOST:
        text = (
            f"Only the first {HELPERS_AT_MOST} of {len(helpers)} helper files of the folder {folder} were looked at, "
            "in the order of their names: open the page of another one to see what lint says about it."
        )
        yield Remark(Level.ADVICE, "helpers-left-out", text)
    for name in helpers[:HELPERS_AT_MOST]:
        path = storage.path(place.folder) / name
        if path.is_dir():
            continue
        try:
            content = storage.content(place.folder, path, _HELPER_BYTES)
        except OSError:
            continue
        yield from _of_content(place, name, content)


def _near(folder: Folder, policy: str, phase: Phase) -> Iterator[Remark]:
    """Yield a warning for each name that somebody probably meant for a phase that has no script."""
    base = names.base_name(phase, policy)
    for name in storage.listed(folder):
        stem, dot, rest = name.partition(".")
        if stem == base and not (dot and rest) and not names.is_ignored(name):
            why = "nothing stands behind a dot in its name"
        elif stem != base and stem.lower() == base.lower() and dot and rest:
            why = f"upper and lower case differ from {base}"
        else:
            continue
        said = shown(name)
        text = f"{said} is not {phase} of {policy}, because {why}: rename it if you mean it."
        yield Remark(Level.WARNING, "near-name", text, said, files=(said,))
