"""What people do to policies and runs: back up, cancel, confirm a thaw, enable, disable. One signature for all.

Pages, admin, API and commands call these, and own neither the loop nor the sentence. Each row is done for itself: a
refusal of one leaves the others alone.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from django.core.exceptions import ValidationError

from policies.domain.errors import RefusedError
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run
from policies.services import runs
from policies.services.entry import policies as entered
from policies.services.watch import confirming
from scripts_admin import permissions
from scripts_admin.models import User

Row = TypeVar("Row", Policy, Run)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it. Without a person it is the command line of this machine, which may do everything."""

    name: str
    person: User | None = None


COMMAND_LINE = Actor("the command line")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of it on one row.

    `done` says what was done, in words that go on after the row's name; `refusal` is a whole sentence, and then
    nothing was changed. One of them is empty.
    """

    row: Policy | Run
    done: str = ""
    refusal: str = ""
    run: Run | None = None

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
        runs.cancel(run, by=by.name)
        return Result(run, f"cancelled; it is {run.state} now", run=run)

    return _each(found, stop, permissions.may_change, by)


def confirm_thaw(policies: Iterable[Policy], *, by: Actor) -> list[Result]:
    """Take the word of whoever asks that each policy's application is thawed. The run's history keeps it."""

    def confirm(policy: Policy) -> Result:
        confirming.confirm(policy, by=by.name)
        return Result(policy, "confirmed that it is thawed")

    return _each(policies, confirm, permissions.may_change, by)


def enable(policies: Iterable[Policy], *, by: Actor) -> list[Result]:
    """Let the schedules of each policy count again."""
    return _switch(policies, by, on=True)


def disable(policies: Iterable[Policy], *, by: Actor) -> list[Result]:
    """Let nothing of each policy be due any more. A run that is under way goes on."""
    return _switch(policies, by, on=False)


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
    results = []
    for row in rows:
        if by.person is not None and not may(by.person, row):
            refusal = f"{_name(row)}: {by.name} may not do this. Ask the owner or a superuser."
            results.append(Result(row, refusal=refusal))
            continue
        try:
            results.append(act(row))
        except RefusedError as error:
            results.append(Result(row, refusal=str(error)))
        except ValidationError as error:
            results.append(Result(row, refusal=f"{_name(row)}: {' '.join(error.messages)}"))
    return results


def only(results: list[Result]) -> Result:
    """Return the one result of an operation on one row; RefusedError with its sentence where it was refused."""
    (result,) = results
    if result.refusal:
        raise RefusedError(result.refusal)
    return result


def _name(row: Policy | Run) -> str:
    return row.label if isinstance(row, Policy) else f"Run {row.pk}"
