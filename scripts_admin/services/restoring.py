"""An earlier version of a script is written into the folder again; that is a new version, and nothing is lost."""

from django.db import transaction

from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.domain.shown import shown
from scripts_admin.folders import looking, writing
from scripts_admin.folders.looking import FileError
from scripts_admin.models import ScriptVersion, User
from scripts_admin.services import audit, folders, versions
from scripts_admin.services.audit import Subject
from scripts_admin.services.versions import Source

_SHORT = 12


def restore(version: ScriptVersion, *, opened: str, actor: User) -> ScriptVersion:
    """Write the version's text into the folder, and return the new version; the same one if nothing is new.

    `opened` is the hash of the file that the person had before them, "" for none. ChangedError if it is another one
    by now, FileError if the text is not kept or cannot be written; then nothing has changed.
    """
    content = versions.content(version)
    name, folder = version.name, version.folder
    if content is None:
        message = f"This version of {shown(name)} has no text, so it cannot be restored: choose another version."
        raise FileError(message)
    if not opened:
        folders.on_disk(folder)
    with looking.opened(folder) as place:
        writing.put(place, name, content, opened=opened)
    subject = Subject(Kind.SCRIPT, f"{folder.name}/{shown(name)}", str(folder.pk), folder.owner_id)
    changes = [Change("sha256", opened[:_SHORT], version.sha256[:_SHORT])]
    with transaction.atomic():
        audit.record(Action.CHANGED, subject, changes, person=actor, reason=_message(version))
        if opened == version.sha256:  # nothing is new, and its author stays who it was
            return version
        return versions.keep(
            folder,
            name,
            content,
            author=actor,
            source=Source.RESTORE,
            message=_message(version),
            mode=version.mode,
        )


def _message(version: ScriptVersion) -> str:
    return f"restored from {version.at:%Y-%m-%d %H:%M:%S} UTC"
