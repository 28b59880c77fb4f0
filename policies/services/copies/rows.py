"""The only writer of a copy's row: each change compares the state that it was decided for, and sets the next one."""

from datetime import datetime
from typing import Any

from django.db import transaction

from n2wbackup.lib import clock
from n2wbackup.lib.cas import compare_and_set
from policies.domain.copies.states import UNDER_WAY, CopyState, may_follow
from policies.domain.errors import RefusedError
from policies.domain.retention.points import HoldKind
from policies.models import Copy, CopyRule, Run, RunSnapshot
from policies.services import runs
from policies.services.alarms import raising
from policies.services.retention import holds

HELD_FOR = "a copy of it is being made"


def plan(run: Run, rule: CopyRule, sources: list[RunSnapshot]) -> list[Copy]:
    """Enter the copies that the rule wants of these snapshots, and hold their restore point until they are made.

    RefusedError, and nothing entered, if the restore point is being deleted.
    """
    account = rule.account or run.account
    now = clock.now()
    with transaction.atomic():
        made = [
            Copy(
                run=run,
                source=source,
                rule=rule,
                account=account,
                region=rule.region,
                kms_key=rule.kms_key,
                completion_minutes=rule.completion_minutes,
                created_at=now,
                next_at=now,
            )
            for source in sources
        ]
        for copy in made:
            holds.take(run.pk, HoldKind.COPY, key=str(copy.pk), reason=HELD_FOR, until=None)
        Copy.objects.bulk_create(made)
    return made


def move(copy: Copy, state: CopyState, **columns: Any) -> bool:  # noqa: ANN401 - values of columns
    """Take the copy from the state of this object to another one; False, and nothing written, if it is elsewhere.

    Whatever ends its way releases the hold on its source.
    """
    before = CopyState(copy.state)
    if not may_follow(before, state):
        message = f"A copy goes from {before} to {state} never."
        raise ValueError(message)
    with transaction.atomic():
        rows = Copy.objects.filter(pk=copy.pk)
        if not compare_and_set(rows, {"state": before}, state=state, **columns):
            return False
        if before in UNDER_WAY and state not in UNDER_WAY:
            holds.drop(copy.run_id, HoldKind.COPY, key=str(copy.pk))
    copy.state = state
    for column, value in columns.items():
        setattr(copy, column, value)
    return True


def fail(copy: Copy, reason: str, now: datetime) -> bool:
    """Give the copy up, tell the run's history, and raise an alarm; False if somebody else moved it meanwhile."""
    with transaction.atomic():
        if not move(copy, CopyState.FAILED, message=reason, next_at=now):
            return False
        runs.record(copy.run, f"a copy of {copy.source} to {copy.region} failed: {reason}")
        raising.copy_failed(copy.run, where(copy), reason, now)
    return True


def again(copy: Copy) -> None:
    """Have a copy that failed made again. RefusedError: it did not fail, or its source is going or gone."""
    now = clock.now()
    with transaction.atomic():
        holds.take(copy.run_id, HoldKind.COPY, key=str(copy.pk), reason=HELD_FOR, until=None)
        if copy.state != CopyState.FAILED or not move(
            copy, CopyState.PLANNED, attempts=0, message="", next_at=now, snapshot_id="", progress=0
        ):
            message = f"The copy of {copy.source} to {copy.region} has not failed: there is nothing to repeat."
            raise RefusedError(message)


def where(copy: Copy) -> str:
    """Return the place of the copy, in words."""
    own = copy.run.account_id == copy.account_id
    return copy.region if own or copy.account is None else f"{copy.account.name}, {copy.region}"
