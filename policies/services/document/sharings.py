"""With whom a document shares policies and script folders: applied last, as it names users."""

from collections.abc import Collection, Iterable, Mapping

from django.db.models import Model

from policies.domain.document.marked import Entry
from policies.models import Policy
from policies.services.document.references import References
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.models import Folder
from scripts_admin.permissions import Share, Whom
from scripts_admin.services import sharing
from scripts_admin.services.sharing import SharingError

OF_POLICY, OF_FOLDER = "shared_with", "folder_shared_with"
_RIGHTS = {right.replace(" ", "_"): right for right in Right}


def named(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the entries that say with whom their policy, or their user's folder, is shared."""
    return tuple(entry for entry in entries if {OF_POLICY, OF_FOLDER} & entry.values.keys())


def exported(shares: Iterable[Share]) -> list[dict[str, object]]:
    """Return the shares as the document has them."""
    words = {right: word for word, right in _RIGHTS.items()}
    return [
        {
            ("user" if permissions.is_person(share.whom) else "group"): str(share.whom),
            "may": [words[right] for right in share.rights],
        }
        for share in shares
    ]


def enter(entry: Entry, references: References) -> tuple[str, dict[str, str]]:
    """Share with those whom the entry names and nobody else; return the name, and what changed in words.

    Without the row, whose mistake is told already, the name is empty.
    """
    key = OF_POLICY if OF_POLICY in entry.values else OF_FOLDER
    row, name = _row(entry, key)
    if row is None:
        return "", {}
    wanted: dict[Whom, Collection[Right]] = {}
    present = {sharing.named(share.whom): share.whom for share in permissions.shares(row)}
    for each in entry.values[key]:
        whom = _whom(each, references, present)
        rights = [_RIGHTS[word] for word in each.values.get("may", ()) if word in _RIGHTS]
        if whom is not None:
            wanted[whom] = [Right.VIEW, *rights]
    before = _words(row)
    try:
        changed = not references.mistakes and sharing.replace(row, wanted.items())
    except SharingError as error:
        references.tell(entry, key, str(error))
        return "", {}
    return name, {key: f"{before or 'none'} → {_words(row) or 'none'}"} if changed else {}


def _row(entry: Entry, key: str) -> tuple[Model | None, str]:
    name, owner = entry.values.get("name", ""), entry.values.get("owner", "")
    if key == OF_FOLDER:
        return Folder.objects.filter(owner__username=name).first(), f"{name}/"
    found = Policy.objects.select_related("owner").filter(owner__username=owner, name=name)
    return found.first(), f"{owner}/{name}"


def _whom(entry: Entry, references: References, present: Mapping[str, Whom]) -> Whom | None:
    """Return the person or the group of an entry; None if it is wrong, which is then told.

    Those who are there already may stay: nobody is told of what did not change.
    """
    wrong = [word for word in entry.values.get("may", ()) if word not in _RIGHTS]
    if wrong:
        sentence = f"{wrong[0]!r} is no right: write some of {', '.join(_RIGHTS)}."
        references.tell(entry, "may", sentence)
    if ("user" in entry.places) == ("group" in entry.places):
        references.tell(entry, "user", "Name either a user or a group: one of the two.")
    if entry.unread:
        return None
    key = "user" if "user" in entry.places else "group"
    name = entry.values[key]
    find = sharing.person if key == "user" else sharing.group
    try:
        return present.get(name if key == "user" else f"group {name}") or find(name)
    except SharingError as error:
        if not references.is_spoilt_user(name) or key == "group":
            references.tell(entry, key, str(error))
        return None


def _words(row: Model) -> str:
    return "; ".join(
        f"{sharing.named(share.whom)}: {', '.join(share.rights)}"
        for share in permissions.shares(row)
    )
