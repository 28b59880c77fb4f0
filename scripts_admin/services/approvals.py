"""The second pair of eyes: where a folder asks for it, a window runs only texts that another person has approved.

An approval is for one text of one file, by its hash. The newest one of a file counts, and a deletion is approved like
any other change. Until then the approved text goes on running. Tests run what is in the folder: the reviewer wants to
see one.
"""

from collections.abc import Iterable
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q

from n2wbackup.lib import clock, each
from scripts_admin import permissions
from scripts_admin.domain import blanks, names
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.domain.phases import Phase
from scripts_admin.domain.shown import shown
from scripts_admin.models import Folder, ScriptApproval, ScriptVersion, User
from scripts_admin.services import audit, versions
from scripts_admin.services.audit import Subject

BASELINE = "as it was when the second pair of eyes began"
BEFORE = "this text was approved before"
BLANKS = "differs from the approved text in nothing but blanks and line ends"
_SERVER = "the server"


class NotApprovedError(Exception):
    """The person cannot approve this; the text is a sentence, and nothing has changed."""


class Pending(NamedTuple):
    """A change that waits: the newest version, and the approved one, which goes on running (None: nothing runs)."""

    version: ScriptVersion
    approved: ScriptVersion | None


def approved(folder: Folder, among: Iterable[str] | None = None) -> dict[str, ScriptVersion]:
    """Return the approved version of each file; one that is approved as deleted is among them."""
    rows = ScriptApproval.objects.filter(folder=folder, is_newest=True)
    rows = rows if among is None else rows.filter(name__in=list(among))
    return {row.name: row.version for row in rows.select_related("version")}


def pending(folder: Folder) -> list[Pending]:
    """Return the changes that wait for somebody, sorted by name; the rows know what the last look has seen."""
    if not folder.needs_approval:
        return []
    known = approved(folder)
    found = [Pending(new, known.get(new.name)) for new in versions.newest(folder)]
    return [one for one in found if _waits(one)]


def look(folder: Folder) -> None:
    """Look at the folder, and approve for the server what nobody has to look at.

    That is a text that was approved for this file before, and one that differs from the approved one in nothing but
    blanks and line ends. If it has CRLF, the approved one goes on running, and nothing waits.
    """
    versions.look(folder)
    if not folder.needs_approval or not _changed(folder):
        return
    with transaction.atomic():
        # The lock: a person may approve one of them in this moment.
        locked = Folder.objects.select_for_update().get(pk=folder.pk)
        for one in _changed(locked):
            if _was_approved(one.version):
                _enter(one.version, None, BEFORE)
                continue
            new = versions.content(one.version)
            if new is not None and not blanks.has_carriage_returns(new) and _only_blanks(one):
                _enter(one.version, None, BLANKS)


def tick() -> None:
    """Look at every folder; one that cannot be looked at does not keep the others from it."""
    every = Folder.objects.order_by("pk")
    each.apart(every, look, "the scripts of folder %s could not be looked at")


def approve(version: ScriptVersion, *, actor: User, message: str = "") -> None:
    """Let a version run in windows; NotApprovedError if it is not this person's to approve, or not new any more."""
    with transaction.atomic():
        folder = Folder.objects.select_for_update().get(pk=version.folder_id)
        why = why_not(folder, version, actor)
        if why:
            raise NotApprovedError(why)
        before = approved(folder, [version.name]).get(version.name)
        _enter(version, actor, message)
        change = Change("approved", before.short if before else "", version.short)
        audit.record(
            Action.APPROVED, _subject(folder, version.name), [change], person=actor, reason=message
        )


def why_not(folder: Folder, version: ScriptVersion, person: User) -> str:
    """Return a sentence that says why the person cannot approve the version, or "" if they can."""
    said = shown(version.name)
    if not folder.needs_approval:
        return f"The folder {folder} asks for no approval: the file in it runs as it is."
    if not permissions.may_change(person, folder):
        return f"You may not change the scripts of {folder}, so you cannot approve them."
    newest = ScriptVersion.objects.filter(
        folder=folder, name=version.name, is_newest=True
    ).values_list("pk", flat=True)
    if version.pk not in newest:
        return f"{said} has been changed again since: look at the new version and approve that."
    if folder.is_root and person.is_superuser and version.author_id is None:
        return (
            f"Nobody knows which superuser wrote this version of {said} over SSH, and it may be you: change the "
            "file once more on its page, and another person can approve that."
        )
    if _is_author(folder, version, person):
        return f"This version of {said} is yours: another person has to approve it."
    return ""


def switch(folder: Folder, *, on: bool, actor: User) -> None:
    """Begin or end the second pair of eyes; at the beginning, the scripts that are there count as approved.

    The caller has made sure that the person may share the folder.
    """
    versions.look(folder)
    with transaction.atomic():
        row = Folder.objects.select_for_update().get(pk=folder.pk)
        folder.needs_approval = on
        if row.needs_approval == on:
            return
        Folder.objects.filter(pk=folder.pk).update(needs_approval=on)
        if on:
            _begin(folder, actor)
        change = Change("second pair of eyes", *(("no", "yes") if on else ("yes", "no")))
        subject = audit.subject(Kind.FOLDER, folder, folder.name)
        audit.record(Action.CHANGED, subject, [change], person=actor)


def moved(folder: Folder, name: str, to: str) -> None:
    """Let an approved script keep its approval when its policy is renamed: the phase and the text are the same."""
    was = approved(folder, [name]).get(name)
    now = ScriptVersion.objects.filter(folder=folder, name=to, is_newest=True).first()
    phases = (n.partition("_")[0] for n in (name, to))
    if was is None or now is None or was.sha256 != now.sha256 or len(set(phases)) > 1:
        return
    gone = ScriptVersion.objects.filter(folder=folder, name=name, is_newest=True, is_deleted=True)
    with transaction.atomic():
        for one in (now, *gone):
            _enter(one, None, f"renamed with its policy from {shown(name)}")


def of_phase(
    folder: Folder, phase: Phase, policy: str
) -> tuple[list[ScriptVersion], list[ScriptVersion]]:
    """Return the approved scripts of a phase, and the newest versions that wait to be one."""
    base = f"{names.base_name(phase, policy)}."
    known = {
        name: version
        for name, version in approved(folder).items()
        if names.belongs(name, phase, policy)
    }
    newest = ScriptVersion.objects.filter(folder=folder, is_newest=True, name__startswith=base)
    waiting = [
        one
        for one in newest.order_by("name")
        if names.belongs(one.name, phase, policy) and _waits(Pending(one, known.get(one.name)))
    ]
    found = [known[name] for name in sorted(known) if not known[name].is_deleted]
    return found, waiting


def scripts(folder: Folder) -> list[ScriptVersion]:
    """Return the scripts that are there, as the last look saw them: at the beginning they count as approved."""
    return [new for new in versions.newest(folder) if is_script(new.name) and not new.is_deleted]


def is_script(name: str) -> bool:
    """Tell whether the name may be a script of a phase: helpers run as they are, whoever changed them."""
    return name.startswith(tuple(f"{phase}_" for phase in Phase)) and "." in name


def _changed(folder: Folder) -> list[Pending]:
    known = approved(folder)
    found = [Pending(new, known.get(new.name)) for new in versions.newest(folder)]
    return [one for one in found if _differs(one)]


def _differs(one: Pending) -> bool:
    if not is_script(one.version.name):
        return False
    if one.approved is None:
        return not one.version.is_deleted
    return (one.version.sha256, one.version.is_deleted) != (
        one.approved.sha256,
        one.approved.is_deleted,
    )


def _waits(one: Pending) -> bool:
    return _differs(one) and not _only_blanks(one) and not _was_approved(one.version)


def _was_approved(version: ScriptVersion) -> bool:
    rows = ScriptApproval.objects.filter(folder=version.folder, name=version.name)
    return not version.is_deleted and rows.filter(version__sha256=version.sha256).exists()


def _only_blanks(one: Pending) -> bool:
    if one.approved is None:
        return False
    old, new = versions.content(one.approved), versions.content(one.version)
    return old is not None and new is not None and blanks.only_blanks_differ(old, new)


def _is_author(folder: Folder, version: ScriptVersion, person: User) -> bool:
    """Tell whether the person has ever brought this text in; what nobody known has written is its owner's.

    The name does not matter: somebody else may have renamed or copied the file.
    """
    same = ScriptVersion.objects.filter(folder=folder, pk=version.pk)
    if not version.is_deleted:
        same = ScriptVersion.objects.filter(folder=folder, sha256=version.sha256)
    if same.filter(Q(author=person) | Q(author_name=person.username)).exists():
        return True
    return folder.owner_id == person.pk and same.filter(author=None).exists()


def _begin(folder: Folder, actor: User) -> None:
    ScriptApproval.objects.filter(folder=folder).delete()  # the audit keeps who approved what
    for version in scripts(folder):
        _enter(version, actor, BASELINE)


def _enter(version: ScriptVersion, person: User | None, message: str) -> None:
    same = ScriptApproval.objects.filter(folder=version.folder, name=version.name, is_newest=True)
    same.update(is_newest=False)
    ScriptApproval.objects.create(
        folder=version.folder,
        name=version.name,
        version=version,
        person=person,
        person_name=person.username if person else _SERVER,
        at=clock.now(),
        message=message[:1000],
    )


def _subject(folder: Folder, name: str) -> Subject:
    return Subject(Kind.SCRIPT, f"{folder.name}/{shown(name)}", str(folder.pk), folder.owner_id)
