"""Runs that have to wait. That costs nothing: no call to AWS, no change of state, no line of the history twice."""

from collections.abc import Collection
from datetime import datetime, timedelta

from n2wbackup.lib import clock
from n2wbackup.lib.cas import compare_and_set
from policies.domain.runs.sequence import Event, State
from policies.models import Policy, Run, RunTarget
from policies.services import aside, runs
from policies.services.alarms import raising
from policies.services.window import leases, permits

TOO_LONG = timedelta(minutes=15)  # then an alarm says so
# The pause grows with the time that a run has waited: most windows are over soon.
SHORTEST, LONGEST = timedelta(seconds=1), timedelta(seconds=10)


def holds_back(run: Run) -> bool:
    """Tell whether a queued run still has to wait for other runs, and let it wait; AWS is not asked."""
    if run.policy is None or not (run.around.get("has_competitors", True) or run.waits_on):
        return False
    now = clock.now()
    resources = _resources(run, run.policy)
    reason = _why(run, resources, now)
    if reason:
        _wait(run, reason, now + pause(run, now), {**run.waits_on, "resources": resources})
    return bool(reason)


def pause(run: Run, now: datetime) -> timedelta:
    """Return the time until the run looks again."""
    waited = now - run.waiting_since if run.waiting_since else timedelta(0)
    return min(LONGEST, max(SHORTEST, waited / 5))


def defer(run: Run, reason: str, until: datetime, waits_on: dict[str, object]) -> None:
    """Queue a claimed run again; it holds no leases or permits. The reason enters the history once."""
    text = "" if reason == run.waiting_for else reason
    since = run.waiting_since or clock.now()
    deferred = runs.apply(
        run,
        Event.DEFERRED,
        text,
        not_before=until,
        waiting_for=reason,
        waiting_since=since,
        waits_on=waits_on or run.waits_on,
    )
    if deferred:
        _tell(run)


def _wait(run: Run, reason: str, until: datetime, waits_on: dict[str, object]) -> None:
    """Let a queued run wait; its reason enters the history once. Does nothing if the run is no longer queued."""
    now = clock.now()
    told, since = run.waiting_for, run.waiting_since or now
    changes = {
        "not_before": until,
        "waiting_for": reason,
        "waiting_since": since,
        "waits_on": waits_on,
    }
    if not compare_and_set(Run.objects.filter(pk=run.pk), {"state": State.QUEUED}, **changes):
        return
    run.waiting_for, run.waiting_since = reason, since
    if reason != told:
        runs.record(run, reason, at=now)
    _tell(run)


def _tell(run: Run) -> None:
    """Raise an alarm, once, if the run has waited for too long."""
    now, since = clock.now(), run.waiting_since
    if since is not None and now - since >= TOO_LONG and not run.is_test:
        aside.do("the alarm", lambda: raising.waits_too_long(run, since, now), run)


def _why(run: Run, resources: Collection[str], now: datetime) -> str:
    held = leases.holder(run, resources, now)
    if held is not None:
        return leases.in_words(run, held)
    if run.is_test:
        return ""
    return permits.pending_in_words(run.waits_on.get("types", {}))


def _resources(run: Run, policy: Policy) -> list[str]:
    """Return what the run will freeze, as far as it is known without AWS: its own answer, else the last run's."""
    known = run.waits_on.get("resources")
    if known:
        return list(known)
    targets = list(policy.targets.all())
    names = [f"{target.region}:{target}" for target in targets]
    still = {(target.region, str(target)) for target in targets}
    last = RunTarget.objects.filter(run=policy.last_run_id) if policy.last_run_id else []
    for target in last:
        if (target.region, str(target)) in still:
            names += [f"{target.region}:{volume}" for volume in target.expected_volume_ids]
    return names
