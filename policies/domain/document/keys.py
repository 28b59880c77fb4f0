"""The document that `apply` reads: its keys and the kinds of their values.

Pure: text in, entries and mistakes out. The values are not compared with rows, environment or AWS's rules here.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from policies.domain.document import fields, marked
from policies.domain.document.fields import Field
from policies.domain.document.kinds import Kind
from policies.domain.document.marked import BrokenYamlError, Entry, Key, Mistake, Place
from policies.domain.schedules.schedule import Unit

_KINDS = {
    Kind.NUMBER: marked.number,
    Kind.TRUTH: marked.truth,
    Kind.CHOICE: marked.text,
    Kind.TEXT: marked.text,
    Kind.PERHAPS: marked.or_nothing(marked.text),
    Kind.TEXTS: marked.list_of(marked.text),
}


def _said(table: Iterable[Field]) -> dict[str, Key]:
    """Return the keys of a table's fields, those of inner mappings nested."""
    return _closed(
        fields.nested(table, lambda field: Key(_KINDS[field.kind], required=field.required))
    )


def _closed(tree: Mapping[str, Any]) -> dict[str, Key]:
    return {
        key: below if isinstance(below, Key) else Key(marked.shape(_closed(below)))
        for key, below in tree.items()
    }


_EXTERNAL_ID = "The server makes the external id: remove this key; test_account and the admin pages show the id."
DISABLED = marked.shape(
    {
        "days": Key(marked.list_of(marked.text)),
        "from": Key(marked.scalar),
        "to": Key(marked.scalar),
    }
)
# Of the alarm receivers of a user or of a policy.
QUIET = {"quiet_hours": Key(marked.list_of(DISABLED)), "quiet_timezone": Key(marked.text)}
SHARE = marked.shape(
    {"user": Key(marked.text), "group": Key(marked.text), "may": Key(marked.list_of(marked.text))}
)
USER = marked.shape(
    {
        "name": Key(marked.text, required=True),
        "email": Key(marked.text),
        "password_env": Key(marked.text),
        "superuser": Key(marked.truth),
        "active": Key(marked.truth),
        "server_role": Key(marked.truth),
        "open_snapshots": Key(marked.truth),
        "folder_shared_with": Key(marked.list_of(SHARE)),
        "alarm_urls_env": Key(marked.text),
        **QUIET,
    }
)
ENROL = marked.shape(
    {
        "tag": Key(marked.text, required=True),
        "value": Key(marked.text),
        "policy": Key(marked.text, required=True),
        "what": Key(marked.text),
    }
)
ACCOUNT = marked.shape(
    {
        "owner": Key(marked.text, required=True),
        "name": Key(marked.text, required=True),
        "auth": Key(marked.text),
        "access_key_id": Key(marked.text),
        "secret_access_key_env": Key(marked.text),
        "role_arn": Key(marked.text),
        "external_id": Key(marked.text, refusal=_EXTERNAL_ID),
        "region": Key(marked.text),
        "regions": Key(marked.list_of(marked.text)),
        "enrol": Key(marked.list_of(ENROL)),
    }
)
EVERY = marked.shape({unit.value: Key(marked.number) for unit in Unit})
SCHEDULE = marked.shape(
    {
        "owner": Key(marked.text, required=True),
        "name": Key(marked.text, required=True),
        "cron": Key(marked.text),
        "every": Key(EVERY),
        "starting": Key(marked.scalar),
        "ending": Key(marked.scalar),
        "timezone": Key(marked.text),
        "disabled": Key(marked.list_of(DISABLED)),
    }
)
_OF_A_TARGET = _said(fields.TARGET)
TARGET = marked.shape(
    {
        **_OF_A_TARGET,
        "remote": Key(marked.or_nothing(_OF_A_TARGET["remote"].kind)),
        "enrolled": Key(marked.truth),
    }
)
_NUMBER = Key(marked.number)
_KEPT = dict.fromkeys(("keep_last", "daily", "weekly", "monthly", "yearly", "generations"), _NUMBER)
COPY = marked.shape(
    {
        "region": Key(marked.text, required=True),
        "account": Key(marked.text),
        "kms_key": Key(marked.text),
        "completion_minutes": _NUMBER,
        "retention": Key(marked.shape(_KEPT)),
    }
)
POLICY = marked.shape(
    {
        "owner": Key(marked.text, required=True),
        "name": Key(marked.text, required=True),
        "account": Key(marked.text),
        "targets": Key(marked.list_of(TARGET)),
        "schedules": Key(marked.list_of(marked.placed(marked.text))),
        "copies": Key(marked.list_of(COPY)),
        **_said(fields.POLICY),
        "alarm_urls_env": Key(marked.text),
        "ping_url_env": Key(marked.text),
        "shared_with": Key(marked.list_of(SHARE)),
        **QUIET,
    }
)
DOCUMENT = marked.shape(
    {
        "users": Key(marked.list_of(USER)),
        "accounts": Key(marked.list_of(ACCOUNT)),
        "schedules": Key(marked.list_of(SCHEDULE)),
        "policies": Key(marked.list_of(POLICY)),
    }
)


_NOUNS = {"users": "user", "accounts": "account", "schedules": "schedule", "policies": "policy"}


@dataclass(frozen=True, slots=True)
class Document:
    """The entries of the document. Values whose keys are not named stay as they are."""

    users: tuple[Entry, ...] = ()
    accounts: tuple[Entry, ...] = ()
    schedules: tuple[Entry, ...] = ()
    policies: tuple[Entry, ...] = ()


def read(text: str) -> tuple[Document, list[Mistake]]:
    """Return all entries that could be read, and all mistakes in the document's shape."""
    mistakes: list[Mistake] = []
    try:
        root = marked.compose(text)
    except BrokenYamlError as error:
        return Document(), [error.mistake]
    if root is None:
        sentence = "The document is empty: name users, accounts, schedules or policies."
        return Document(), [Mistake(Place(1, 1, "document"), sentence)]
    try:
        values = DOCUMENT(root, Place(1, 1, ""), mistakes).values
    except marked.WrongError as wrong:
        return Document(), [Mistake(Place(1, 1, "document"), str(wrong))]
    document = Document(**{kind: values.get(kind, ()) for kind in _NOUNS})
    for kind, noun in _NOUNS.items():
        mistakes += _named_twice(getattr(document, kind), noun)
    return document, mistakes


def label(entry: Entry) -> str:
    """Return "owner/name", or the name of an entry without an owner; "" if it could not be read."""
    name, owner = entry.values.get("name"), entry.values.get("owner")
    if not name or ("owner" in entry.unread):
        return ""
    return f"{owner}/{name}" if owner else str(name)


def _named_twice(entries: tuple[Entry, ...], noun: str) -> list[Mistake]:
    """Report names that differ only in upper and lower case as twice: so would be files or folders."""
    by_name: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if label(entry):
            by_name[label(entry).lower()].append(entry)
    found = []
    for same in by_name.values():
        for entry in same[1:]:
            first = same[0].where("name").line
            sentence = f"The {noun} {label(entry)} appears twice (first in line {first}): remove one of them."
            found.append(Mistake(entry.where("name"), sentence))
            entry.unread.add("name")
    return found
