"""Asking AWS for copies: at most once for each row, whatever dies meanwhile.

CopySnapshot takes no client token. So the row says `asking` before the call, and the copy bears the row's id as a
tag from its first moment. An answer that was lost is settled by looking for that tag; only when none has appeared
for a while is AWS asked again.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from n2wbackup.lib import clock, each, home
from policies.adapters import limits, session
from policies.domain.copies.states import CopyState
from policies.domain.errors import (
    AnswerLostError,
    BackupError,
    CredentialsError,
    NotFoundError,
    ThrottledError,
    UnreachableError,
)
from policies.models import Account, Copy
from policies.ports import Credentials, Snapshot
from policies.ports.copies import CopyRequest
from policies.services.copies import rows
from policies.services.window import credentials

log = logging.getLogger(__name__)

AT_ONCE = 20  # calls of one turn
LOST_ANSWER = timedelta(
    minutes=5
)  # reads are eventually consistent; after this, nothing was created
# After so many refusals with a reason of its own, a copy has failed; what passes by itself is tried for a day.
MOST_REFUSALS = 3
PAUSES = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60))
FULL = timedelta(minutes=2)  # until a place that has all its copies under way is asked again
PATIENCE = timedelta(days=1)
_FULL = "ResourceLimitExceeded"


def tick() -> int:
    """Settle what may have been asked, then ask for what is planned; return how many copies were started."""
    now = clock.now()
    silent = set[tuple[int | None, str]]()
    trouble = "the copy %s could not be asked for"
    asked = _under_way(CopyState.ASKING).order_by("?")
    each.apart(list(asked[:AT_ONCE]), lambda copy: _settle(copy, now, silent), trouble)
    planned = _under_way(CopyState.PLANNED).filter(Q(next_at=None) | Q(next_at__lte=now))
    due = planned.order_by("next_at", "pk")[:AT_ONCE]
    return each.apart(list(due), lambda copy: _ask(copy, now, silent), trouble)


def _under_way(state: CopyState) -> QuerySet[Copy]:
    rows_of = Copy.objects.filter(state=state).select_related(
        "run__account__owner", "run__policy", "account__owner", "source__target"
    )
    return rows_of.defer("account__secret_access_key", "run__account__secret_access_key")


def _ask(copy: Copy, now: datetime, silent: set[tuple[int | None, str]]) -> bool:
    place = (copy.account_id, copy.region)
    if place in silent:
        return False
    problem = _impossible(copy)
    if problem:
        return rows.fail(copy, problem, now)
    if not rows.move(copy, CopyState.ASKING, asked_at=now):
        return False
    try:
        _share(copy)
        snapshot_id = session.copies(_credentials(copy.account)).copy(_request(copy))
    except AnswerLostError as error:
        log.warning("the copy %s may have been started: %s", copy.pk, error)
        silent.add(place)
        return False
    except BackupError as error:
        silent.add(place)
        _refused(copy, error, now)
        return False
    return rows.move(copy, CopyState.PENDING, snapshot_id=snapshot_id, message="")


def _impossible(copy: Copy) -> str:
    """Return why the copy cannot be made at all; "" if it may be."""
    if copy.account is None or copy.run.account is None:
        return "The account was deleted: give the rule another one."
    if copy.source.state != copy.source.State.COMPLETED:
        return f"Its source {copy.source} is {copy.source.state}."
    if copy.account.owner_id != copy.run.owner_id:
        return f"The account {copy.account} is not {copy.run.owner_name}'s."
    return ""


def _credentials(account: Account | None) -> Credentials:
    if account is None:
        raise CredentialsError("The account was deleted.")
    credentials.refuse_withdrawn(account)
    return credentials.of(account)


def _share(copy: Copy) -> None:
    """Let the copy's account see the source, if it belongs to another AWS account."""
    if copy.account_id == copy.run.account_id:
        return
    source, region = copy.run.account, copy.source.target.region
    if copy.account is None or source is None:
        raise CredentialsError("The account was deleted.")
    number = credentials.number(copy.account, copy.region)
    if number == credentials.number(source, region):
        return
    # Before the deed: whoever finds the row knows that it may be shared.
    Copy.objects.filter(pk=copy.pk).update(shared_with=number)
    copy.shared_with = number
    session.copies(_credentials(source)).share(region, copy.source.snapshot_id, number)


def _request(copy: Copy) -> CopyRequest:
    return CopyRequest(
        region=copy.region,
        source_region=copy.source.target.region,
        snapshot_id=copy.source.snapshot_id,
        tags=tags(copy),
        description=f"Copy of {copy.source.snapshot_id} of {copy.run.label}, run {copy.run_id}",
        kms_key=copy.kms_key,
        completion_minutes=copy.completion_minutes,
    )


def tags(copy: Copy) -> Mapping[str, str]:
    """Return the tags of the copy: with them alone, a new server knows what it is."""
    target = copy.source.target
    return {
        "Name": f"{copy.run.policy_name} (copy)",
        limits.SERVER_TAG: home.server_id(),
        limits.RUN_TAG: str(copy.run_id),
        limits.COPY_TAG: str(copy.pk),
        "n2wbackup:policy": copy.run.policy_name,
        "n2wbackup:owner": copy.run.owner_name,
        "n2wbackup:consistency": target.consistency,
        "n2wbackup:source": copy.source.snapshot_id,
        "n2wbackup:source-region": target.region,
        "n2wbackup:volume": copy.source.volume_id,
        "n2wbackup:instance": target.instance_id,
        "n2wbackup:fired-at": f"{copy.run.fired_at or copy.run.created_at:%Y-%m-%dT%H:%M:%S.%fZ}",
    }


def _refused(copy: Copy, error: BackupError, now: datetime) -> None:
    """AWS did nothing: try later, or give up. A source that does not exist will not come back."""
    sentence = str(error)
    passes = isinstance(error, ThrottledError | UnreachableError) or (
        getattr(error, "code", "") == _FULL
    )
    tries = copy.attempts if passes else copy.attempts + 1
    too_old = now - copy.created_at >= PATIENCE
    if isinstance(error, NotFoundError) or tries >= MOST_REFUSALS or too_old:
        rows.fail(copy, sentence, now)
        return
    pause = FULL if passes else PAUSES[min(tries, len(PAUSES)) - 1]
    rows.move(copy, CopyState.PLANNED, attempts=tries, next_at=now + pause, message=sentence)


def _with_its_tag(copy: Copy, silent: set[tuple[int | None, str]]) -> Sequence[Snapshot] | None:
    """Return the snapshots with the copy's tag; None if AWS cannot be asked now."""
    place = (copy.account_id, copy.region)
    if place in silent:
        return None
    try:
        cloud = session.copies(_credentials(copy.account))
        return cloud.tagged(copy.region, limits.COPY_TAG, str(copy.pk))
    except BackupError as error:
        log.warning("the lost answer of copy %s is still open: %s", copy.pk, error)
        silent.add(place)
        return None


def _settle(copy: Copy, now: datetime, silent: set[tuple[int | None, str]]) -> bool:
    """Find out by its tag whether a copy was started whose answer nobody has."""
    asked_at = copy.asked_at or copy.created_at
    if asked_at > now + clock.SKEW:  # from before the clock was set back
        Copy.objects.filter(pk=copy.pk, state=CopyState.ASKING).update(asked_at=now)
        return False
    if copy.account is None:
        return rows.fail(copy, "The account was deleted before AWS answered.", now)
    found = _with_its_tag(copy, silent)
    if found is None:
        return False
    if found:
        oldest = min(found, key=lambda one: (one.started_at or now, one.snapshot_id))
        return rows.move(copy, CopyState.PENDING, snapshot_id=oldest.snapshot_id, message="")
    if now - asked_at < LOST_ANSWER:
        return False
    message = "No answer of AWS is known, and no copy has the tag: it is asked for again."
    return rows.move(copy, CopyState.PLANNED, next_at=now, message=message)
