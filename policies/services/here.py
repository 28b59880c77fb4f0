"""A whole run in this process, without broker and workers: it does their steps one after the other."""

import time
from collections.abc import Callable

from n2wbackup.lib import home
from policies.adapters import broker
from policies.domain.runs import sequence
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run
from policies.services import runs
from policies.services.following import completing, polling, tagging
from policies.services.servers import copies, heart
from policies.services.watch import abandoned
from policies.services.window import keeping

PAUSE_SECONDS = 0.2


def start_and_keep(
    *,
    policy: Policy,
    trigger: Trigger,
    test_phase: str = "",
    test_argument: str = "",
    started: Callable[[Run], None] = lambda _: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Run:
    """Start a run and keep it to its end; no hint is sent, so that no worker takes it first.

    `started` gets the new run. Once `is_stopped` says so, the run is cancelled: what is frozen is thawed first.
    """
    thawer = abandoned.Thawer(home.spool(), home.runtime_to_thaw())
    with broker.silenced(), heart.beating(copies.enter):
        run = runs.start(
            policy=policy, trigger=trigger, test_phase=test_phase, test_argument=test_argument
        )
        started(run)
        while run.state not in sequence.ENDS:
            if is_stopped() and run.cancel_requested_at is None:
                runs.cancel(run, by="the command line")
            _step(run, thawer)
            run.refresh_from_db()
            if run.state not in sequence.ENDS:
                time.sleep(PAUSE_SECONDS)
        tagging.tag(run.pk)
    return run


def _step(run: Run, thawer: abandoned.Thawer) -> None:
    if run.state == State.QUEUED:
        keeping.execute(run.pk)
    elif run.state in sequence.MAY_BE_FROZEN:
        thawer.turn()
        abandoned.enter(run.pk)
        tagging.tag(run.pk)
    elif run.state == State.WAITING:
        polling.poll()
        tagging.tag(run.pk)
    elif run.state == State.COMPLETING:
        completing.execute(run.pk)
