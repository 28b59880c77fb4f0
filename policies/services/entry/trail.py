"""What a person or a rule changed, for the audit."""

import logging

from scripts_admin.models import User

log = logging.getLogger(__name__)


def enter(  # noqa: PLR0913 - an entry has these parts
    action: str,
    kind: str,
    label: str,
    *,
    key: str = "",
    owner_id: int | None = None,
    person: User | None = None,
    name: str = "",
    changes: tuple[tuple[str, str, str], ...] = (),
    reason: str = "",
) -> None:
    """Enter one change, in the caller's transaction. `changes`: field, before, after. `name`: of who is no person."""
    who = person.username if person else name
    log.info(
        "%s: %s %s %s %s %s",
        who,
        action,
        kind,
        label,
        changes or "",
        reason,
        extra={"key": key, "owner": owner_id},
    )
