"""The words of the audit, and what changed in one row, as before and after, without secrets."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):
    """What was done. A new action is one line here; no migration is needed."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    ENABLED = "enabled"
    DISABLED = "disabled"
    PAUSED = "paused"
    RESUMED = "resumed"
    BACKED_UP = "backed up"
    TESTED = "tested"
    DRILLED = "drilled"
    TRIED_LOGIN = "tried to log in"
    ADOPTED = "adopted"
    COPIED = "had copied again"
    CANCELLED = "cancelled"
    CONFIRMED_THAW = "confirmed thaw"
    WANTED_THAW = "wanted thaw"
    MUTED = "muted"
    UNMUTED = "unmuted"
    ENROLLED = "enrolled"
    LEFT = "left"
    LEFT_OUT = "left out"
    SHARED = "shared"
    UNSHARED = "unshared"
    INVITED = "invited"
    LOGGED_IN = "logged in"
    LOGGED_OUT = "logged out"
    LOGIN_REFUSED = "login refused"
    REMOVED = "removed"
    MOVED = "moved"
    RENAMED = "renamed"
    UNDELETED = "brought back"
    REKEYED = "rekeyed"
    APPROVED = "approved"
    REFUSED = "refused"
    RETIRED = "retired"
    ASKED = "asked"
    HELD = "held"
    RELEASED = "released"
    PRUNED = "pruned"
    TOOK_BACK = "took back"
    LOCKED = "locked"
    UNLOCKED = "unlocked"
    PROVED = "proved"
    RESTORED = "restored"
    UNDID = "undid"
    OPENED = "opened files"
    SEARCHED = "searched files"
    DOWNLOADED = "downloaded files"
    CONFIRMED_ALONE = "said that it goes on alone"
    BROUGHT_BACK = "copied files back"


class Kind(StrEnum):
    """What it was done to."""

    POLICY = "policy"
    SCHEDULE = "schedule"
    ACCOUNT = "account"
    RECEIVERS = "alarm receivers"
    RUN = "run"
    RECOVERY = "recovery"
    USER = "user"
    GROUP = "group"
    FOLDER = "folder"
    SCRIPT = "script"
    SESSION = "session"
    SERVER = "server"
    DATABASE = "database"
    SSH_KEY = "SSH key"
    SSH_HOST = "SSH host"
    RESOURCE = "resource"  # an instance or a volume of AWS


class Source(StrEnum):
    """Where it came from."""

    PAGE = "page"
    ADMIN = "admin"
    COMMAND = "command"
    API = "api"
    SERVER = "server"


class Change(NamedTuple):
    """One field. A secret is `SECRET`, and a field without a value is empty."""

    field: str
    before: str
    after: str


SECRET = "(set)"  # noqa: S105 - shown instead of a secret
LONGEST = 500
_SECRETS = re.compile(
    r"secret|password|token|passphrase|private|recovery_code|key\b|keys\b|url|access_key"
)


def difference(before: Mapping[str, object], after: Mapping[str, object]) -> list[Change]:
    """Return the fields that differ; a field that one side lacks has no value there."""
    fields = dict.fromkeys((*before, *after))
    pairs = ((field, word(before.get(field)), word(after.get(field))) for field in fields)
    return [Change(field, old, new) for field, old, new in pairs if old != new]


def unsecret(changes: Iterable[Change]) -> list[Change]:
    """Hide the values of fields whose names say that they are secret, whatever the caller has put there."""
    return [
        Change(field, _hidden(before), _hidden(after)) if is_secret(field) else found
        for found in changes
        for field, before, after in [found]
    ]


def is_secret(field: str) -> bool:
    return bool(_SECRETS.search(field.lower()))


def word(value: object) -> str:
    """Return a value in the words of the document that `apply` reads."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value)
    return str(value)


def _hidden(value: str) -> str:
    return SECRET if value else ""
