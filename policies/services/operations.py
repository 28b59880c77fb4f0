"""Operations on policies and runs: back up, test, cancel, hold, thaw now, enable, disable, pause, delete, and so on.

All have one signature. Pages, admin, API and commands call them and have no loop or sentence of their
own. Each row is handled separately: if one is refused, the others go on.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import transaction

from n2wbackup.lib import trouble
from policies.domain import trials
from policies.domain.errors import RefusedError
from policies.domain.retention.points import Fate
from policies.domain.runs import sequence
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run, Trial
from policies.services import runs
from policies.services.entry import pausing
from policies.services.entry import policies as entered
from policies.services.retention import cleaning, holds, locking, removals, taking_back
from policies.services.trials import asking as asking_for_trials
from policies.services.watch import asking, confirming
from scripts_admin import permissions
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.models import User
from scripts_admin.services import audit

log = logging.getLogger(__name__)
Row = TypeVar("Row", Policy, Run)


@dataclass(frozen=True, slots=True)
class Actor:
    """The user of an operation; without `person`, this machine's command line, which may do everything."""

    name: str
    person: User | None = None


COMMAND_LINE = Actor("the command line")


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an operation on one row.

    `done` says what was done, in words that follow the row's name. `refusal` is a whole sentence and
    means that nothing was changed. One of the two is empty.
    """

    row: Policy | Run
    done: str = ""
    refusal: str = ""
    run: Run | None = None
    trial: Trial | None = None

    @property
    def sentence(self) -> str:
        """Return one sentence for the person who asked."""
        return self.refusal or f"{_name(self.row)}: {self.done}."


def person(user: User) -> Actor:
    """Return the user as an actor."""
    return Actor(user.username, user)


def back_up(policies: Iterable[Policy], *, by: Actor) -> list[Result]:
    """Queue a run of each policy."""

    def start(policy: Policy) -> Result:
        requested_by = by.name if by.person else ""
        run = runs.start(policy=policy, trigger=Trigger.MANUAL, requested_by=requested_by)
        return Result(policy, f"run {run.pk} is queued", run=run)

    return _each(policies, start, permissions.may_run, by)


def cancel(found: Iterable[Run], *, by: Actor) -> list[Result]:
    """Cancel each run. What is frozen is thawed first, and complete gets 0."""

    def stop(run: Run) -> Result:
        with transaction.atomic():
            state = run.state
            runs.cancel(run, by=by.name)
            if run.cancelled_by == by.name:
                of = audit.subject(Kind.RUN, run, run.label)
                change = Change("state", state, "cancelled")
                audit.record(Action.CANCELLED, of, [change])
        if run.cancelled_by != by.name:
            return Result(run, refusal=f"Run {run.pk} was already cancelled by {run.cancelled_by}.")
        return Result(run, _cancelled(run.state), run=run)

    return _each(found, stop, permissions.may_run, by)


def _cancelled(state: str) -> str:
    if state in sequence.ENDS:
        return "cancelled"
    if state == State.THAWING:
        return (
            "cancelled; its application may still be frozen: after is repeated until it succeeds, "
            "and then the run ends by itself"
        )
    if state in sequence.MAY_BE_FROZEN:
        return "cancelled; its application is frozen now: after thaws it, and then the run ends by itself"
    return f"cancelled; it is still {state} and ends by itself"


def hold(found: Iterable[Run], *, reason: str, until: datetime | None, by: Actor) -> list[Result]:
    """Keep each restore point until then, whatever its policy's rules say; None: until it is released."""

    def keep(run: Run) -> Result:
        holds.hold(run, reason=reason, until=until, by=by.name)
        end = f"until {until:%Y-%m-%d %H:%M} UTC" if until else "until somebody releases it"
        return Result(run, f"held {end}")

    return _each(found, keep, permissions.may_change, by)


def release(found: Iterable[Run], *, by: Actor) -> list[Result]:
    """Leave each restore point to its policy's rules again."""

    def let_go(run: Run) -> Result:
        holds.release(run, by=by.name)
        return Result(run, "no longer held; the rules of its policy decide about it again")

    return _each(found, let_go, permissions.may_change, by)


def prune(policies: Iterable[Policy], *, by: Actor) -> list[Result]:
    """Delete what the rules of each policy let go, now."""

    def clean(policy: Policy) -> Result:
        done = cleaning.prune(policy, by=by.name)
        points = "1 restore point" if done == 1 else f"{done} restore points"
        return Result(policy, f"deleted {points}{_left(policy)}")

    return _each(policies, clean, permissions.may_change, by)


def _left(policy: Policy) -> str:
    problem = removals.problem_of(policy)
    return f"; the others stay for now: {problem.rstrip('.')}" if problem else ""


def take_back(found: Iterable[Run], *, by: Actor) -> list[Result]:
    """Take each restore point out of the Recycle Bin, and hold it."""

    def fetch(run: Run) -> Result:
        taking_back.take_back(run, by=by.name)
        return Result(run, "taken out of the Recycle Bin, and held until somebody releases it")

    return _each(found, fetch, permissions.may_change, by)


def lock(
    found: Iterable[Run], *, until: datetime, cool_off_hours: int = 0, by: Actor
) -> list[Result]:
    """Lock each restore point in AWS until then; with a cool-off, so that nobody can unlock it afterwards."""

    def fasten(run: Run) -> Result:
        mode = locking.COMPLIANCE if cool_off_hours else locking.GOVERNANCE
        locking.lock(run, mode=mode, until=until, cool_off_hours=cool_off_hours, by=by.name)
        return Result(run, f"locked ({mode}) until {until:%Y-%m-%d %H:%M} UTC")

    return _each(found, fasten, permissions.may_change, by)


def unlock(found: Iterable[Run], *, by: Actor) -> list[Result]:
    """Take the lock of each restore point away."""

    def loosen(run: Run) -> Result:
        locking.unlock(run, by=by.name)
        return Result(run, "no longer locked in AWS")

    return _each(found, loosen, permissions.may_change, by)


def confirm_thaw(policies: Iterable[Policy], *, by: Actor) -> list[Result]:
    """Confirm, on the actor's word, that each policy's application is thawed. The history records it."""

    def confirm(policy: Policy) -> Result:
        confirming.confirm(policy, by=by.name)
        return Result(policy, "confirmed that it is thawed")

    return _each(policies, confirm, permissions.may_run, by)


def thaw_now(policies: Iterable[Policy], *, by: Actor) -> list[Result]:
    """Run each policy's after at once, although its server would try it later or not at all."""

    def ask(policy: Policy) -> Result:
        with transaction.atomic():
            done = asking.thaw_now(policy, by=by.name)
            of = audit.subject(Kind.POLICY, policy, policy.label)
            audit.record(Action.WANTED_THAW, of, reason=done)
        return Result(policy, done)

    return _each(policies, ask, permissions.may_run, by)


def enable(policies: Iterable[Policy], *, by: Actor) -> list[Result]:
    """Let the schedules of each policy start runs again."""
    return _switch(policies, by, on=True)


def disable(policies: Iterable[Policy], *, by: Actor) -> list[Result]:
    """Stop the schedules of each policy. A run in progress continues."""
    return _switch(policies, by, on=False)


def pause(policies: Iterable[Policy], *, until: datetime, reason: str, by: Actor) -> list[Result]:
    """Let no schedule of the policies start a run until then. A run in progress continues."""

    def hold(policy: Policy) -> Result:
        pausing.pause(policy, until=until, reason=reason, by=by.name)
        return Result(policy, f"paused until {until:%Y-%m-%d %H:%M} UTC")

    return _each(policies, hold, permissions.may_change, by)


def resume(policies: Iterable[Policy], *, by: Actor) -> list[Result]:
    """End the pause of each policy now."""

    def go_on(policy: Policy) -> Result:
        pausing.resume(policy)
        return Result(policy, "no longer paused")

    return _each(policies, go_on, permissions.may_change, by)


def try_scripts(
    policies: Iterable[Policy], *, by: Actor, phase: str = "", argument: str = ""
) -> list[Result]:
    """Queue a test run of each policy's scripts, without snapshots: of all phases, or of one."""

    def start(policy: Policy) -> Result:
        run = runs.start(
            policy=policy,
            trigger=Trigger.TEST,
            requested_by=by.name if by.person else "",
            test_phase=phase,
            test_argument=argument,
        )
        return Result(policy, f"test run {run.pk} is queued", run=run)

    return _each(policies, start, permissions.may_run, by)


def drill(policies: Iterable[Policy], *, by: Actor) -> list[Result]:
    """Queue a drill of each policy: whether its instances thaw by themselves. Nothing is frozen."""
    return _try_instances(
        policies, trials.Kind.DRILL, "its instances are drilled; this page shows what is found", by
    )


def try_to_log_in(policies: Iterable[Policy], *, by: Actor) -> list[Result]:
    """Queue a dry login to the instances of each policy."""
    return _try_instances(
        policies, trials.Kind.LOGIN, "a worker tries to log in; this page shows what it finds", by
    )


def _try_instances(
    policies: Iterable[Policy], kind: trials.Kind, done: str, by: Actor
) -> list[Result]:
    def ask(policy: Policy) -> Result:
        return Result(policy, done, trial=asking_for_trials.ask(policy, kind, by=by.name))

    return _each(policies, ask, permissions.may_run, by)


def delete(policies: Iterable[Policy], *, by: Actor, fate: Fate = Fate.KEEP) -> list[Result]:
    """Delete each policy. Its runs and scripts stay, and what becomes of its snapshots is its fate."""

    def remove(policy: Policy) -> Result:
        entered.delete(policy, fate, by=by.name)
        return Result(policy, _DELETED[fate])

    return _each(policies, remove, permissions.may_delete, by)


_DELETED = {
    Fate.KEEP: "deleted; its runs, snapshots and scripts stay",
    Fate.RULES: "deleted; its snapshots go when its rules would have let them go, and its runs and scripts stay",
    Fate.NOW: "deleted; its snapshots are being deleted, and its runs and scripts stay",
}


def _switch(policies: Iterable[Policy], by: Actor, *, on: bool) -> list[Result]:
    def switch(policy: Policy) -> Result:
        entered.switch(policy, on=on)
        return Result(policy, "enabled" if on else "disabled")

    return _each(policies, switch, permissions.may_change, by)


def _each(
    rows: Iterable[Row],
    act: Callable[[Row], Result],
    may: Callable[[User, Row], bool],
    by: Actor,
) -> list[Result]:
    return [_one(row, act, may, by) for row in rows]


def _one(
    row: Row,
    act: Callable[[Row], Result],
    may: Callable[[User, Row], bool],
    by: Actor,
) -> Result:
    """Do it to one row. Whatever goes wrong is this row's refusal: what was done to others is still reported."""
    name = _name(row)
    if by.person is not None and not may(by.person, row):
        refusal = f"{name}: {by.name} is not allowed to do this. Ask the owner or a superuser."
        return Result(row, refusal=refusal)
    try:
        with audit.done_by(by.person):
            return act(row)
    except RefusedError as error:
        refusal = str(error)
    except ValidationError as error:
        refusal = f"{name}: {' '.join(error.messages)}"
    except ObjectDoesNotExist:
        refusal = f"{name} was deleted at the same moment. Nothing was changed."
    except Exception as error:
        # Only this machine's people may know where the home and the database are.
        said = trouble.sentence(error) if by.person is None else ""
        if not said:
            log.exception("an operation on %s failed", name)
            said = (
                f"this failed ({type(error).__name__}) and may be half done. Look at it before you try again; "
                "the server's log says more."
            )
        refusal = f"{name}: {said}"
    return Result(row, refusal=refusal)


def only(results: list[Result]) -> Result:
    """Return the result of an operation on one row; RefusedError with its sentence if refused."""
    (result,) = results
    if result.refusal:
        raise RefusedError(result.refusal)
    return result


def _name(row: Policy | Run) -> str:
    return row.label if isinstance(row, Policy) else f"Run {row.pk}"
