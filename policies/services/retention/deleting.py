"""The calls to AWS that delete the snapshots of one run. Each may be repeated; the intent was committed before.

Nothing is deleted that AWS does not show with this server's tag and this run's, just before.
"""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from n2wbackup.lib import clock, home
from policies.adapters import limits, session
from policies.domain.errors import (
    AwsError,
    InUseError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    RejectedError,
    ThrottledError,
)
from policies.models import Account, Run, RunSnapshot, Server
from policies.ports import Cloud, Snapshot
from policies.ports.removing import Image, Removing
from policies.services.retention import removals
from policies.services.servers import strangers
from policies.services.window import credentials

log = logging.getLogger(__name__)

DELETING_TAG = f"{limits.OURS}deleting"
CALLS = 50  # that delete, of one account and region and turn


@dataclass(slots=True)
class Budget:
    """What one turn may still do. AWS refills the rate of an account's region in the meantime."""

    ends: float  # on the monotonic clock
    calls: Counter[tuple[int, str]] = field(default_factory=Counter)

    def may(self, account: Account, region: str) -> bool:
        return self.calls[account.pk, region] < CALLS and not self.is_over

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends

    def spend(self, account: Account, region: str) -> None:
        self.calls[account.pk, region] += 1

    def close(self, account: Account, region: str) -> None:
        """Send nothing more there in this turn: AWS has throttled."""
        self.calls[account.pk, region] = CALLS


@dataclass(frozen=True, slots=True)
class _Place:
    """The snapshots of a run that are to go in one region, and those of them that AWS has."""

    region: str
    rows: Sequence[RunSnapshot]
    found: Mapping[str, Snapshot]
    images: Sequence[Image] = ()


def states(run: Run) -> Mapping[str, str]:
    """Return the state in AWS of each of the run's snapshots that are to go and exist."""
    cloud = session.cloud(credentials.of(_account(run)))
    return {
        snapshot.snapshot_id: snapshot.state
        for region, rows in _rows(run).items()
        for snapshot in cloud.describe(region, [row.snapshot_id for row in rows]).values()
    }


def delete(run: Run, budget: Budget) -> str:
    """Delete the run's snapshots as far as the budget goes; return why AWS keeps one, or "".

    Raises what AWS answers otherwise; what was deleted by then is entered.
    """
    account = _account(run)
    credentials.refuse_withdrawn(account)
    given = credentials.of(account)
    cloud, removing = session.cloud(given), session.removing(given)
    regions = {region: rows for region, rows in _rows(run).items() if budget.may(account, region)}
    try:
        for region in regions:  # a refusal is raised: the order waits, and is not taken back
            strangers.refuse(account, region, removing)
        places = [_look(cloud, removing, region, rows) for region, rows in regions.items()]
        kept = next(filter(None, (_why_kept(run, place) for place in places)), "")
        if kept:
            return kept
        for place in places:
            kept = kept or _delete(place, account, cloud, removing, budget)
    except ThrottledError:
        for region in regions:
            budget.close(account, region)
        raise
    except (NotPermittedError, RejectedError) as error:
        return str(error)
    return kept


def _look(cloud: Cloud, removing: Removing, region: str, rows: Sequence[RunSnapshot]) -> _Place:
    ids = [row.snapshot_id for row in rows]
    found = cloud.describe(region, ids)
    images = removing.images_of(region, list(found)) if found else []
    return _Place(region, rows, found, images)


def _why_kept(run: Run, place: _Place) -> str:
    ours = _servers()
    for snapshot in place.found.values():
        tags = snapshot.tags
        if tags.get(limits.SERVER_TAG) not in ours or tags.get(limits.RUN_TAG) != str(run.pk):
            return f"{snapshot.snapshot_id} does not bear the tags of this server and this run"
    for image in place.images:
        if image.tags.get(limits.SERVER_TAG) not in ours:
            needed = [key for key in image.snapshot_ids if key in place.found]
            return f"the AMI {image.image_id} needs {', '.join(needed)}"
    return ""


def _delete(
    place: _Place, account: Account, cloud: Cloud, removing: Removing, budget: Budget
) -> str:
    try:
        _mark(cloud, place)
    except NotFoundError:  # somebody has deleted one of them since the look
        found = cloud.describe(place.region, list(place.found))
        place = replace(place, found={key: place.found[key] for key in found})
        _mark(cloud, place)
    for image in place.images:
        _deregister(removing, place.region, image)
    for row in place.rows:
        if row.snapshot_id not in place.found:
            removals.enter_deleted(row, _in_bin(removing, place.region, row.snapshot_id))
            continue
        if not budget.may(account, place.region):
            return ""
        budget.spend(account, place.region)
        try:
            removing.delete(place.region, row.snapshot_id)
        except NotFoundError:
            log.info("%s was deleted before", row.snapshot_id)
        except InUseError as error:
            return str(error)
        removals.enter_deleted(row, _in_bin(removing, place.region, row.snapshot_id))
    return ""


def _mark(cloud: Cloud, place: _Place) -> None:
    """Write on each snapshot that it is being deleted."""
    if place.found:
        mark = {DELETING_TAG: f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"}
        cloud.tag(place.region, list(place.found), mark)


def _deregister(removing: Removing, region: str, image: Image) -> None:
    try:
        removing.deregister(region, image.image_id)
    except NotFoundError:
        log.info("%s was deregistered before", image.image_id)


def _in_bin(removing: Removing, region: str, snapshot_id: str) -> datetime | None:
    """Return until when the Recycle Bin has it; None, too, if AWS does not say: the deletion does not depend on it."""
    try:
        return removing.in_bin_until(region, snapshot_id)
    except AwsError as error:
        log.info("the Recycle Bin was not asked for %s: %s", snapshot_id, error)
        return None


def _rows(run: Run) -> Mapping[str, list[RunSnapshot]]:
    rows: Iterable[RunSnapshot] = RunSnapshot.objects.filter(
        target__run=run, state=RunSnapshot.State.DELETING
    ).select_related("target")
    found: defaultdict[str, list[RunSnapshot]] = defaultdict(list)
    for row in rows:
        found[row.target.region].append(row)
    return found


def _account(run: Run) -> Account:
    if run.account is None:
        message = f"Run {run.pk} has no account any more, so AWS cannot be asked for its snapshots."
        raise RefusedError(message)
    return run.account


def _servers() -> set[str]:
    """Return every server that has worked on this database: its snapshots are ours."""
    return {home.server_id(), *Server.objects.values_list("pk", flat=True)}
