"""The complete phase and the run's end, for many runs at once. complete may delete logs: it is started at most once."""

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from n2wbackup.lib import clock, compiled, home, outages
from n2wbackup.lib.trust import UntrustedError
from policies.adapters import broker
from policies.domain.runs import verdict
from policies.domain.runs.sequence import State
from policies.models import Run
from policies.selectors.worth import Worth, worths
from policies.services import runs, together
from policies.services.following import in_flight
from policies.services.following.in_flight import Flight
from policies.services.together import LostError
from policies.services.window import credentials, defects, ending
from policies.services.window.ending import Over

log = logging.getLogger(__name__)

AT_ONCE = 8  # scripts of one call
STUCK_SECONDS = 2.0


class Ended(NamedTuple):
    """A run that has just ended, and what it was judged by."""

    run: Run
    judged: Worth


def execute(run_id: UUID) -> Ended | None:
    """Run complete and end the run; return what it was judged by. As `execute_all`."""
    ended = list[Ended]()
    execute_all([run_id], ended.extend)
    return ended[0] if ended else None


def execute_all(run_ids: Sequence[UUID], then: Callable[[Sequence[Ended]], object]) -> None:
    """Run complete and end each run, unless another process is doing so, or another server has its spool.

    Up to AT_ONCE scripts run at a time; if all of these are slow, the other runs are left to other workers. An error
    that no step foresaw ends its own run as well, and no other. `then` gets the runs that have ended, some at a time,
    with what they were judged by, as far as this process knows it.
    """
    left, flying = deque(run_ids), list[Flight]()
    try:
        while left or flying:
            some = [left.popleft() for _ in range(min(len(left), AT_ONCE - len(flying)))]
            flying += _started(some)
            over = _landed(flying, STUCK_SECONDS if left else None)
            if flying and left and not over:
                _leave(left)
            flying = [one for one in flying if one not in over]
            ended = _ended(over)
            if ended:
                then(ended)
    finally:
        _close(flying)


def _landed(flying: Sequence[Flight], seconds: float | None) -> Sequence[Flight]:
    """Return those whose complete has ended; all, to be heard one after the other, if they cannot be waited for."""
    try:
        return in_flight.landed(flying, seconds)
    except Exception:
        log.exception("the completes of %s runs could not be waited for together", len(flying))
        return flying


def _leave(left: deque[UUID]) -> None:
    """Leave runs to whichever worker of this server is free."""
    for run_id in left:
        broker.send(broker.COMPLETE, run_id, home.server_id())
    left.clear()


def _due(run_ids: Sequence[UUID]) -> list[Run]:
    """Return the runs whose complete has not started, if this server is the one to run it."""
    return _due_here(list(run_ids), ["", home.server_id()])


@compiled.Reading
def _due_here(run_ids: list[UUID], servers: list[str]) -> QuerySet[Run]:
    rows = Run.objects.filter(pk__in=run_ids, state=State.COMPLETING, complete_started_at=None)
    here = rows.filter(server__in=servers).order_by("created_at")
    return here.select_related("policy__folder")


def _with_accounts(due: Iterable[Run]) -> list[Run]:
    """Give each run its account, with the secret read once for all runs of the account."""
    found = list(due)
    accounts = credentials.accounts({run.account_id for run in found if run.account_id})
    for run in found:
        run.account = accounts.get(run.account_id or 0)
    return found


def _started(run_ids: Sequence[UUID]) -> list[Flight]:
    """Claim those of the runs that are due, and start their scripts."""
    taken = [Flight(run) for run in _with_accounts(_due(run_ids))] if run_ids else []
    flying = list[Flight]()
    try:
        flying = [one for one in taken if _in_any_case(one, one.prepare)]
        for act in (_judge, _claim):
            flying = _all_or_each(flying, act)
        flying = [one for one in flying if _in_any_case(one, partial(_start, one))]
    except BaseException:
        flying = []
        raise
    finally:
        _close([one for one in taken if one not in flying])
    return flying


def _start(one: Flight) -> bool:
    one.start()
    return True


def _ended(over: Sequence[Flight]) -> list[Ended]:
    """End the runs whose complete has ended."""
    ended = list[Ended]()

    def finish(some: Sequence[Flight]) -> None:
        judged = ending.finish_all([Over(one.run, one.folder, "", one.known) for one in some])
        ended.extend(Ended(*each) for each in judged.items())

    try:
        heard = [one for one in over if _in_any_case(one, partial(_land, one))]
        _all_or_each(heard, finish)
    finally:
        _close(over)
    return ended


def _land(one: Flight) -> bool:
    one.land()
    return True


def _close(some: Sequence[Flight]) -> None:
    for one in some:
        one.close()


def _all_or_each(some: Sequence[Flight], act: Callable[[Sequence[Flight]], object]) -> list[Flight]:
    """Do it for all at once; if that fails, which changes nothing, for each alone. Return those it was done for."""
    if len(some) > 1:
        try:
            act(some)
        except outages.AWAY:
            raise
        except Exception as error:  # noqa: BLE001 - it comes again below, where it is told
            log.info("%s runs are completed one by one (%s)", len(some), outages.named(error))
        else:
            return list(some)

    def alone(one: Flight) -> bool:
        act([one])
        return True

    return [one for one in some if _in_any_case(one, partial(alone, one))]


def _in_any_case(one: Flight, act: Callable[[], bool]) -> bool:
    """Do it for a run whose locks are held; an error that would come again ends the run."""
    try:
        return act()
    except outages.AWAY:
        raise
    except LostError:
        pass  # another process was faster
    except UntrustedError as error:
        _end_without(one.run.pk, str(error))
    except Exception as error:  # noqa: BLE001 - a run always ends
        defects.end(one.run.pk, error, "completed")
    return False


def _end_without(run_id: UUID, problem: str) -> None:
    """End the run without complete: what would be executed may be somebody else's."""
    for run in _due([run_id]):
        if ending.claim_complete(run):
            runs.record(run, f"complete is not run, because {problem}")
            ending.finish(run, home.spool() / str(run_id))


def _judge(some: Sequence[Flight]) -> None:
    """Read what the runs are worth, for the argument of complete."""
    known = worths([one.run for one in some])
    for one in some:
        one.known = known[one.run.pk]
        one.argument = _argument(one.run, one.known)


def _argument(run: Run, known: Worth) -> str:
    if run.is_test:
        return run.test_argument or "0"
    return verdict.complete_argument(known.facts)


def _claim(some: Sequence[Flight]) -> None:
    """Note that complete is about to start; LostError if one has started, or was cancelled meanwhile.

    The row first: after a crash it shows that complete may have run, and complete never runs again.
    """
    now = clock.now()
    as_read: dict[tuple[str, datetime | None], list[UUID]] = defaultdict(list)
    for one in some:
        as_read[one.run.server, one.run.cancel_requested_at].append(one.run.pk)
    lines = [
        (one.run, f"{ending.COMPLETE_STARTED} {one.argument}")
        for one in some
        if one.command is not None
    ]
    with transaction.atomic():
        for (server, cancelled_at), keys in as_read.items():
            rows = Run.objects.filter(pk__in=keys, state=State.COMPLETING, server=server)
            same = rows.filter(complete_started_at=None, cancel_requested_at=cancelled_at)
            together.update_all(same.order_by(), len(keys), complete_started_at=now)
        if lines:
            together.record_all(lines, now)
    for one in some:
        one.run.complete_started_at = now
