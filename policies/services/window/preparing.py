"""The slow steps of a run, before anything is frozen: resolve, prove, lease and permit."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction

from n2wbackup.lib import clock, compiled, home
from policies.adapters import session
from policies.domain.errors import BackupError, ThrottledError
from policies.domain.runs import verdict
from policies.models import Account, Policy, PolicyTarget, Run, RunTarget
from policies.ports import Cloud, FireRequest, Instance
from policies.services import runs
from policies.services.servers import copies
from policies.services.window import (
    credentials,
    hosts,
    leases,
    on_instances,
    permits,
    resolving,
    scripts,
    waiting,
)
from policies.services.window.resolving import Resolved
from policies.services.window.scripts import Scripts
from scripts_admin.domain.phases import Phase

PROVED_FOR = timedelta(hours=1)
# The time from the renewal to the end of the last call: leases, permits, connections, the guard's start.
RENEW_MARGIN_SECONDS = 120


class TakenOverError(BackupError):
    """The run was cancelled, or another server has it now: nothing of it may be prepared here, nor ended."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """The run has to wait; it holds no leases or permits."""

    until: datetime
    reason: str
    # What it waits on, so that it need not ask AWS again while it waits.
    waits_on: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shot:
    """One call to make inside the window, and the row for its result."""

    target: RunTarget
    request: FireRequest


@dataclass(slots=True)
class Plan:
    """A run that is ready: its calls and scripts. No shots: there is nothing to back up."""

    run: Run
    policy: Policy
    cloud: Cloud
    scripts: Scripts
    shots: list[Shot] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    instances: dict[str, Instance] = field(default_factory=dict)  # those that are backed up
    # The rows of the instances whose scripts may run there, by instance id.
    rows: dict[str, RunTarget] = field(default_factory=dict)


def prepare(run: Run) -> Plan | Deferred:
    """Resolve, prove, lease and permit. Enters the run's targets; a target that fails is left out.

    Raises TakenOverError if the run is no longer in this process's hands, and HostChangedError if a host of its
    scripts shows another key than the approved one.
    """
    policy, account = run.policy, run.account
    if policy is None or account is None:
        message = "The policy or its account was deleted: nothing can be backed up."
        raise BackupError(message)
    credentials.refuse_withdrawn(account)
    found = scripts.resolve(run, policy)
    strange = copies.problem(policy) if run.around.get("has_other_servers", True) else ""
    if strange and copies.may_still_come(run):
        return Deferred(clock.now() + copies.PAUSE, strange)
    if strange:
        found = scripts.refused(policy, strange)
    _require(run, policy, found)
    cloud = session.cloud(credentials.of(account))
    targets = list(policy.targets.all())
    resolved = resolving.resolve(cloud, targets)
    resolving.share(resolved)
    wait = _prove(run, policy, account, cloud, resolved)
    if wait is not None:
        return wait
    hosts.check(run, policy, found)
    resolving.share(resolved)  # a target that may not be fired leaves its volumes to the others
    good = [r for r in resolved if not r.problem]
    if good and not run.is_test:
        cloud.renew(policy.max_freeze_seconds + RENEW_MARGIN_SECONDS)
    entered = _enter(run, account, resolving.described(resolved, cloud), found)
    if isinstance(entered, Deferred):
        return entered
    plan = Plan(run, policy, cloud, found, problems=[r.problem for r in resolved if r.problem])
    plan.instances = {one.instance.instance_id: one.instance for one in good if one.instance}
    plan.shots, tested = entered
    rows = [*(shot.target for shot in plan.shots), *tested]
    plan.rows = {row.instance_id: row for row in rows if row.instance_id}
    if not run.is_test:
        _warm(cloud, plan.shots)
    return plan


def _require(run: Run, policy: Policy, found: Scripts) -> None:
    """Note what the run needs to succeed, as the policy and its scripts say now."""
    has_before = found.has_before or bool(policy.scripts_enabled and on_instances.remotes(policy))
    required = verdict.required(policy.success_requires, has_before=has_before)
    runs.note(run, success_requires=required)


def _request(run: Run, one: Resolved) -> FireRequest:
    wanted = one.wanted
    tags = {
        "Name": f"{run.label} {wanted}",
        "n2wbackup:server": run.server or home.server_id(),
        "n2wbackup:run": str(run.pk),
        "n2wbackup:policy": run.policy_name,
        "n2wbackup:owner": run.owner_name,
        "n2wbackup:consistency": "pending",
    }
    return FireRequest(
        region=wanted.region,
        tags=tags,
        description=f"n2wbackup {run.label} run {run.pk}",
        instance_id=wanted.instance_id,
        volume_id=wanted.volume_id,
        exclude_boot_volume=wanted.exclude_boot_volume or one.root in one.fired_elsewhere,
        exclude_volume_ids=(
            *wanted.exclude_volume_ids,
            *(volume for volume in one.fired_elsewhere if volume != one.root),
        ),
    )


def _prove(
    run: Run, policy: Policy, account: Account, cloud: Cloud, resolved: Sequence[Resolved]
) -> Deferred | None:
    """Check by DryRun that each call is permitted: after a change, in tests, else at most hourly.

    AWS counts a DryRun like the call itself, so each needs a permit; without one the run waits.
    """
    wanted = _fingerprint(account, [one.wanted for one in resolved])
    now = clock.now()
    proved = policy.proved_at
    fresh = proved is not None and now - PROVED_FOR < proved <= now + clock.SKEW
    if policy.proved_for == wanted and fresh and not run.is_test:
        return None
    unproved = [one for one in resolved if one.volumes and not one.problem]
    with transaction.atomic():
        wait = _permit(account, _by_region(unproved), volumes=False)
    if wait is not None:
        return wait
    for one in unproved:
        try:
            cloud.prove(_request(run, one))
        except ThrottledError:
            raise
        except BackupError as error:
            one.problem = str(error)
    if not any(one.problem for one in resolved):
        Policy.objects.filter(pk=policy.pk).update(proved_for=wanted, proved_at=now)
    return None


def _fingerprint(account: Account, targets: Iterable[PolicyTarget]) -> str:
    facts = [
        [t.region, t.instance_id, t.volume_id, t.exclude_boot_volume, t.exclude_volume_ids]
        for t in targets
    ]
    way_in = [account.pk, account.auth, account.access_key_id, account.role_arn]
    text = json.dumps([*way_in, sorted(facts, key=str)])
    return hashlib.sha256(text.encode()).hexdigest()


def _enter(
    run: Run, account: Account, resolved: Sequence[Resolved], found: Scripts
) -> "Deferred | tuple[list[Shot], list[RunTarget]]":
    """Take the leases, enter the targets, and take the permits: with one commit, or none of them if the run waits.

    The permits last: their row is the account's, and other runs wait for it until the commit.
    """
    good = [one for one in resolved if not one.problem]
    with transaction.atomic():
        wait = _reserve(run, good, found)
        if wait is not None:
            transaction.set_rollback(True)
            return wait
        entered = _enter_targets(run, resolved)
        wait = None if run.is_test else _permit(account, _by_region(good), volumes=True)
        if wait is not None:
            transaction.set_rollback(True)
            return wait
    return entered


def _reserve(run: Run, good: Sequence[Resolved], found: Scripts) -> Deferred | None:
    """Take the leases; None if all are taken and AWS allows more snapshots, else how long the run waits."""
    now = clock.now()
    resources = [name for one in good for name in one.resources]
    types = {key: volume.volume_type for one in good for key, volume in one.found.items()}
    waits_on: dict[str, object] = {"resources": resources, "types": types}
    taken = leases.take(run, resources)
    if taken.waits_for is not None:
        reason = leases.in_words(run, taken.waits_for)
        return Deferred(now + waiting.pause(run, now), reason, waits_on)
    if taken.beside is not None:
        found.freeze_nothing(leases.beside_in_words(taken.beside))
    if run.is_test:
        return None
    full = permits.pending_in_words(types)
    if full:
        return Deferred(now + permits.PENDING_PAUSE, full, waits_on)
    return None


def _permit(
    account: Account, by_region: Mapping[str, Sequence[Resolved]], *, volumes: bool
) -> Deferred | None:
    """Take the permits of every region or of none; with `volumes`, also those of each volume.

    The caller has opened the transaction, which is taken back where the run has to wait.
    """
    with transaction.atomic(savepoint=False):
        for region, ones in sorted(by_region.items()):
            bucket = f"{credentials.bucket(account, ones[0].aws_account)}:{region}"
            fired = [f"{region}:{volume}" for one in ones for volume in one.volumes]
            until = permits.take(bucket, len(ones), fired if volumes else [])
            if until is not None:
                transaction.set_rollback(True)
                return Deferred(until, f"waits for the rate that AWS allows in {region}")
    return None


def _by_region(good: Sequence[Resolved]) -> Mapping[str, list[Resolved]]:
    found: dict[str, list[Resolved]] = defaultdict(list)
    for one in good:
        if one.volumes:
            found[one.wanted.region].append(one)
    return found


def _enter_targets(run: Run, resolved: Sequence[Resolved]) -> tuple[list[Shot], list[RunTarget]]:
    """Enter the intended calls, before any call is made; in a test, the instances whose scripts are to run there.

    The caller has opened a transaction.
    """
    fires = not run.is_test and any(one.volumes and not one.problem for one in resolved)
    if not (runs.note_spool(run) if fires else runs.hold(run)):
        message = "The run was cancelled or taken over while it was prepared."
        raise TakenOverError(message)
    if run.around.get("was_prepared", True):
        run.targets.all().delete()
    has_scripts = run.policy is not None and run.policy.scripts_enabled
    entered = [(one, _target(run, one, has_scripts=has_scripts)) for one in resolved]
    found = [(one, target) for one, target in entered if target is not None]
    compiled.enter([target for _, target in found])
    tested = [target for _, target in found if target.state == RunTarget.State.TESTED]
    planned = RunTarget.State.PLANNED
    shots = [Shot(row, _request(run, one)) for one, row in found if row.state == planned]
    return shots, tested


def _target(run: Run, one: Resolved, *, has_scripts: bool) -> RunTarget | None:
    """Return the row to enter for a target; None for what a test does not touch."""
    wanted = one.wanted
    is_tried = has_scripts and bool(wanted.remote) and run.test_phase != Phase.COMPLETE
    if not one.problem and not (one.volumes and (is_tried or not run.is_test)):
        return None  # a test creates no snapshots; a volume of a target instance belongs to that target
    state = RunTarget.State.TESTED if run.is_test else RunTarget.State.PLANNED
    return RunTarget(
        run=run,
        instance_id=wanted.instance_id,
        volume_id=wanted.volume_id,
        region=wanted.region,
        description=one.description,
        exclude_boot_volume=wanted.exclude_boot_volume,
        exclude_volume_ids=wanted.exclude_volume_ids,
        expected_volume_ids=[] if run.is_test else list(one.volumes),
        state=RunTarget.State.LEFT_OUT if one.problem else state,
        reason=one.problem,
        remote=(has_scripts and wanted.remote.as_document()) or {},
    )


def _warm(cloud: Cloud, shots: Sequence[Shot]) -> None:
    """Open the connections; if one fails now, the call itself tries again."""
    connections: dict[str, int] = defaultdict(int)
    for shot in shots:
        connections[shot.request.region] += 1
    for region, count in connections.items():
        with suppress(BackupError):
            cloud.warm(region, count)
