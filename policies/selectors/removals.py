"""What is known of restore points that go or have gone, by their run."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Min

from n2wbackup.lib import clock
from policies.models import Removal, RunSnapshot


class Going(NamedTuple):
    """`begun_at`: its snapshots are being deleted; `ended_at`: they are. `problem`: why it does not go on."""

    why: str
    by: str  # who asked; empty: the rules
    goes_after: datetime
    begun_at: datetime | None
    ended_at: datetime | None
    problem: str
    bin_until: datetime | None = None  # until then it can be taken back


def of_runs(keys: Iterable[UUID]) -> Mapping[UUID, Going]:
    """Return the removals of the runs; what is not announced is missing."""
    columns = ("run", "why", "by", "goes_after", "begun_at", "ended_at", "problem")
    wanted = list(keys)
    rows = Removal.objects.filter(run__in=wanted).order_by().values_list(*columns) if wanted else ()
    found = {run: Going(*rest) for run, *rest in rows}
    ended = [run for run, going in found.items() if going.ended_at]
    for run, until in _bin_until(ended).items():
        found[run] = found[run]._replace(bin_until=until)
    return found


def _bin_until(keys: Iterable[UUID]) -> Mapping[UUID, datetime]:
    """Return until when the Recycle Bin has something of each of the runs, as far as AWS has said."""
    runs = list(keys)
    if not runs:
        return {}
    rows = RunSnapshot.objects.filter(
        target__run__in=runs, state=RunSnapshot.State.DELETED, bin_until__gt=clock.now()
    )
    first = rows.order_by().values_list("target__run").annotate(Min("bin_until"))
    return dict(first)
