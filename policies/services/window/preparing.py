"""The slow steps of a run, before anything is frozen: resolve, prove, lease and permit."""

import hashlib
import json
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction

from n2wbackup.lib import clock, home
from policies.adapters import session
from policies.domain.errors import BackupError, ThrottledError
from policies.domain.runs import verdict
from policies.models import Account, Description, Policy, PolicyTarget, Run, RunTarget
from policies.ports import Cloud, FireRequest, Instance, Volume
from policies.services import runs
from policies.services.servers import copies
from policies.services.window import (
    credentials,
    descriptions,
    hosts,
    leases,
    on_instances,
    permits,
    scripts,
    waiting,
)
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


@dataclass(slots=True)
class _Resolved:
    """AWS's data on one target; `problem` is a sentence if it cannot be backed up."""

    wanted: PolicyTarget
    volumes: tuple[str, ...] = ()  # those that this target's call fires
    own: tuple[str, ...] = ()  # these, and those that another target's call fires
    root: str = ""
    aws_account: str = ""
    problem: str = ""
    instance: Instance | None = None
    found: dict[str, Volume] = field(default_factory=dict)

    @property
    def resources(self) -> list[str]:
        region = self.wanted.region
        own = [self.wanted.instance_id] if self.wanted.instance_id else []
        return [f"{region}:{name}" for name in (*own, *self.volumes)]

    @property
    def fired_elsewhere(self) -> tuple[str, ...]:
        return tuple(volume for volume in self.own if volume not in self.volumes)


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
    _mark(run)
    found = scripts.resolve(run, policy)
    strange = copies.problem(policy)
    if strange and copies.may_still_come(run):
        return Deferred(clock.now() + copies.PAUSE, strange)
    if strange:
        found = scripts.refused(policy, strange)
    _require(run, policy, found)
    cloud = session.cloud(credentials.of(account))
    targets = list(policy.targets.all())
    resolved = _resolve(cloud, targets)
    _share(resolved)
    wait = _prove(run, policy, account, cloud, resolved)
    if wait is not None:
        return wait
    hosts.check(run, policy, found)
    _share(resolved)  # a target that may not be fired leaves its volumes to the others
    good = [r for r in resolved if not r.problem]
    if good and not run.is_test:
        cloud.renew(policy.max_freeze_seconds + RENEW_MARGIN_SECONDS)
    wait = _reserve(run, account, good, found)
    if wait is not None:
        return wait
    plan = Plan(run, policy, cloud, found, problems=[r.problem for r in resolved if r.problem])
    plan.instances = {one.instance.instance_id: one.instance for one in good if one.instance}
    plan.shots, tested = _enter_targets(run, resolved, cloud)
    rows = [*(shot.target for shot in plan.shots), *tested]
    plan.rows = {row.instance_id: row for row in rows if row.instance_id}
    if not run.is_test:
        _warm(cloud, plan.shots)
    return plan


def _mark(run: Run) -> None:
    """Give the run its mark, once: a proof looks for exactly this one in what was backed up."""
    if not run.mark:
        run.mark = secrets.token_hex(16)
        Run.objects.filter(pk=run.pk).update(mark=run.mark)


def _require(run: Run, policy: Policy, found: Scripts) -> None:
    """Enter what the run needs to succeed, as the policy and its scripts say now."""
    has_before = found.has_before or bool(policy.scripts_enabled and on_instances.remotes(policy))
    run.success_requires = verdict.required(policy.success_requires, has_before=has_before)
    Run.objects.filter(pk=run.pk).update(success_requires=run.success_requires)


def _resolve(cloud: Cloud, targets: Sequence[PolicyTarget]) -> list[_Resolved]:
    by_region: dict[str, list[_Resolved]] = defaultdict(list)
    resolved = [_Resolved(target) for target in targets]
    for one in resolved:
        by_region[one.wanted.region].append(one)
    for region, ones in by_region.items():
        try:
            _resolve_region(cloud, region, ones)
        except ThrottledError:
            raise
        except BackupError as error:
            for one in ones:
                one.problem = one.problem or str(error)
    return resolved


def _resolve_region(cloud: Cloud, region: str, ones: Sequence[_Resolved]) -> None:
    ids = [one.wanted.instance_id for one in ones if one.wanted.instance_id]
    instances = cloud.instances(region, ids) if ids else {}
    for one in ones:
        if one.wanted.instance_id:
            _take_instance(one, instances.get(one.wanted.instance_id))
    named = {volume for one in ones for volume in one.volumes}
    alone = {one.wanted.volume_id for one in ones if one.wanted.volume_id}
    volumes = cloud.volumes(region, sorted(named | alone)) if named | alone else {}
    for one in ones:
        if one.wanted.volume_id:
            _take_volume(one, volumes.get(one.wanted.volume_id))
        one.found = {v: volumes[v] for v in one.own if v in volumes}


def _share(resolved: Iterable[_Resolved]) -> None:
    """Give each volume to one target only, as it is fired once: instances first, in the policy's order.

    A target with a problem is not fired, so it takes no volume.
    """
    taken: set[tuple[str, str]] = set()
    for one in sorted(resolved, key=lambda one: not one.wanted.instance_id):
        region = one.wanted.region
        if not one.problem:
            one.volumes = tuple(v for v in one.own if (region, v) not in taken)
            taken |= {(region, volume) for volume in one.own}


def _take_instance(one: _Resolved, found: Instance | None) -> None:
    wanted = one.wanted
    where = f"{wanted.instance_id} in {wanted.region}"
    if found is None:
        one.problem = (
            f"The instance {where} does not exist for this account: correct its id or region, or remove it "
            "from the policy."
        )
        return
    one.aws_account = found.aws_account_id
    one.instance = found
    unknown = sorted(set(wanted.exclude_volume_ids) - set(found.volume_ids))
    if unknown:
        one.problem = f"The excluded volume {unknown[0]} is not attached to {where}: remove it from the exclusions."
    elif found.root_volume_id in wanted.exclude_volume_ids:
        one.problem = (
            f"{found.root_volume_id} is the boot volume of {where}, and AWS does not exclude a boot volume by "
            "its id: use exclude_boot_volume."
        )
    else:
        boot = {found.root_volume_id} if wanted.exclude_boot_volume else set()
        left_out = set(wanted.exclude_volume_ids) | boot
        one.own = tuple(v for v in found.volume_ids if v not in left_out)
        one.volumes, one.root = one.own, found.root_volume_id
        if not one.own:
            one.problem = f"No volume of {where} is left to back up: exclude fewer of them."


def _take_volume(one: _Resolved, found: Volume | None) -> None:
    wanted = one.wanted
    if found is None:
        one.problem = (
            f"The volume {wanted.volume_id} in {wanted.region} does not exist for this account: correct its id "
            "or region, or remove it from the policy."
        )
    else:
        one.own = one.volumes = (wanted.volume_id,)


def _request(run: Run, one: _Resolved) -> FireRequest:
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
    run: Run, policy: Policy, account: Account, cloud: Cloud, resolved: Sequence[_Resolved]
) -> Deferred | None:
    """Check by DryRun that each call is permitted: after a change, in tests, else at most hourly.

    AWS counts a DryRun like the call itself, so each needs a permit; without one the run waits.
    """
    wanted = _fingerprint(account, policy.targets.all())
    now = clock.now()
    proved = policy.proved_at
    fresh = proved is not None and now - PROVED_FOR < proved <= now + clock.SKEW
    if policy.proved_for == wanted and fresh and not run.is_test:
        return None
    unproved = [one for one in resolved if one.volumes and not one.problem]
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


def _reserve(
    run: Run, account: Account, good: Sequence[_Resolved], found: Scripts
) -> Deferred | None:
    """Take the leases, then the permits; None if all are taken, else how long the run waits."""
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
    return _permit(account, _by_region(good), volumes=True)


def _permit(
    account: Account, by_region: Mapping[str, Sequence[_Resolved]], *, volumes: bool
) -> Deferred | None:
    """Take the permits of every region or of none; with `volumes`, also those of each volume."""
    with transaction.atomic():
        for region, ones in by_region.items():
            bucket = f"{credentials.bucket(account, ones[0].aws_account)}:{region}"
            fired = [f"{region}:{volume}" for one in ones for volume in one.volumes]
            until = permits.take(bucket, len(ones), fired if volumes else [])
            if until is not None:
                transaction.set_rollback(True)
                return Deferred(until, f"waits for the rate that AWS allows in {region}")
    return None


def _by_region(good: Sequence[_Resolved]) -> Mapping[str, list[_Resolved]]:
    found: dict[str, list[_Resolved]] = defaultdict(list)
    for one in good:
        if one.volumes:
            found[one.wanted.region].append(one)
    return found


@transaction.atomic
def _enter_targets(
    run: Run, resolved: Iterable[_Resolved], cloud: Cloud
) -> tuple[list[Shot], list[RunTarget]]:
    """Enter the intended calls, before any call is made; in a test, the instances whose scripts are to run there."""
    if not runs.lock(run):
        message = "The run was cancelled or taken over while it was prepared."
        raise TakenOverError(message)
    run.targets.all().delete()
    has_scripts = run.policy is not None and run.policy.scripts_enabled
    shots, tested = list[Shot](), list[RunTarget]()
    for one in resolved:
        is_tried = has_scripts and bool(one.wanted.remote) and run.test_phase != Phase.COMPLETE
        if not one.problem and not (one.volumes and (is_tried or not run.is_test)):
            continue  # a test creates no snapshots; a volume of a target instance belongs to that target
        state = RunTarget.State.TESTED if run.is_test else RunTarget.State.PLANNED
        state = RunTarget.State.LEFT_OUT if one.problem else state
        target = RunTarget.objects.create(
            run=run,
            instance_id=one.wanted.instance_id,
            volume_id=one.wanted.volume_id,
            region=one.wanted.region,
            description=_describe(one, cloud),
            exclude_boot_volume=one.wanted.exclude_boot_volume,
            exclude_volume_ids=one.wanted.exclude_volume_ids,
            expected_volume_ids=[] if run.is_test else list(one.volumes),
            state=state,
            reason=one.problem,
            remote=(has_scripts and one.wanted.remote.as_document()) or {},
        )
        if state == RunTarget.State.TESTED:
            tested.append(target)
        elif not one.problem:
            shots.append(Shot(target, _request(run, one)))
    return shots, tested


def _describe(one: _Resolved, cloud: Cloud) -> Description | None:
    if one.problem:
        return None
    return descriptions.enter(cloud, one.wanted.region, one.instance, one.found)


def _warm(cloud: Cloud, shots: Sequence[Shot]) -> None:
    """Open the connections; if one fails now, the call itself tries again."""
    connections: dict[str, int] = defaultdict(int)
    for shot in shots:
        connections[shot.request.region] += 1
    for region, count in connections.items():
        with suppress(BackupError):
            cloud.warm(region, count)
