"""What the page of a run shows of its retention."""

from typing import NamedTuple

from n2wbackup.lib import clock
from policies.domain.retention.points import HoldKind, Verdict
from policies.models import Hold, Run
from policies.selectors import removals
from policies.selectors.removals import Going
from policies.services.retention import planning
from scripts_admin import permissions
from scripts_admin.models import User


class Kept(NamedTuple):
    """`verdict` is None if the policy has too many restore points for a page. `past`: holds that are over."""

    verdict: Verdict | None
    past: tuple[Hold, ...]
    is_held: bool  # by a person
    may_change: bool
    going: Going | None  # announced, being deleted, or deleted
    is_restore_point: bool


def of(run: Run, person: User) -> Kept | None:
    """Return what becomes of the run; None if it is no restore point and was not deleted as one."""
    going = removals.of_runs([run.pk]).get(run.pk)
    if run.ended_at is None or not (run.restore_point or going):
        return None
    now, holds = clock.now(), list(run.holds.all())
    over = [each for each in holds if each.released_at or (each.until and each.until <= now)]
    return Kept(
        verdict=planning.of_runs([run], planning.MANY).get(run.pk),
        past=tuple(over),
        is_held=any(each.kind == HoldKind.FREEZER and not each.released_at for each in holds),
        may_change=permissions.may_change(person, run),
        going=going,
        is_restore_point=run.restore_point,
    )
