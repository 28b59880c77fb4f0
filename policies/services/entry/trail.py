"""What a person or a rule changed, for the audit."""

from collections.abc import Iterable

from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.models import User
from scripts_admin.services import audit
from scripts_admin.services.audit import Subject


def enter(  # noqa: PLR0913 - an entry has these parts
    action: Action,
    kind: Kind,
    label: str,
    *,
    key: str = "",
    owner_id: int | None = None,
    person: User | None = None,
    name: str = "",
    changes: Iterable[tuple[str, str, str]] = (),
    reason: str = "",
) -> None:
    """Enter one change, in the caller's transaction. `changes`: field, before, after. `name`: of who is no person."""
    subject = Subject(kind, label, key, owner_id)
    said = [Change(*each) for each in changes]
    audit.record(action, subject, said, person=person, name=name, reason=reason)
