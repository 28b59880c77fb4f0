"""Whatever happens in whatever order: nothing is deleted that must stay.

Real rows and an AWS in memory. Before each step, a picture is taken of what AWS really has; after each one, everything
that the server deleted in it is judged by that picture, by rules of this file alone.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from n2wbackup.lib import clock, home
from policies.adapters import session
from policies.adapters.limits import RUN_TAG, SERVER_TAG
from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_removing import MemoryRemoving
from policies.domain.errors import (
    BackupError,
    NotPermittedError,
    RejectedError,
    ThrottledError,
    UnreachableError,
)
from policies.domain.proofs import Level, State
from policies.domain.retention.points import HoldKind
from policies.domain.runs.verdict import Consistency
from policies.models import Hold, Policy, Proof, Removal, Run, RunSnapshot, Turn
from policies.ports import Snapshot
from policies.services.following import refreshing
from policies.services.retention import cleaning, deleting, holds, removals, taking_back
from tests.factories import PolicyFactory, alice
from tests.policies.services.retention.rows import point, proven

REGION = "us-east-1"
INSTANCES = ("i-0aaaaaaaaaaaaaaaa", "i-0bbbbbbbbbbbbbbbb")
ZONES = ("UTC", "Europe/Berlin", "Pacific/Apia", "America/St_Johns", "Mars/Olympus")
FOREIGN = "4d1f2d4e-0000-4000-8000-000000000000"
ERRORS = (
    ThrottledError("Too often."),
    UnreachableError("No answer."),
    NotPermittedError("Denied."),
    RejectedError("No."),
)


class CrashError(BaseException):
    """The process dies here."""


class Cleaning(RuleBasedStateMachine):
    """One policy, its restore points in AWS, and everything that people and machines do to them."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.shift = timedelta()
        self.real = datetime(2026, 3, 27, 12, tzinfo=UTC)
        self.cloud = MemoryCloud()
        self.removing = MemoryRemoving(self.cloud)
        self.foreign: set[str] = set()
        self.worth: dict[str, tuple[str, str, datetime, UUID]] = {}  # id → target, worth, at, run
        self.proven: set[UUID] = set()  # runs whose newest proof has passed
        self.deleted = 0
        self.wrong: list[str] = []
        self._watch()

    def _watch(self) -> None:
        self.patch.setattr(clock, "now", lambda: self.real + self.shift)
        self.patch.setattr(session, "cloud", lambda _: self.cloud)
        self.patch.setattr(session, "removing", lambda _: self.removing)
        delete = self.removing.delete

        def judged(region: str, snapshot_id: str) -> None:
            before = self.cloud.snapshot_ids
            try:
                delete(region, snapshot_id)
            finally:
                for gone in before - self.cloud.snapshot_ids:
                    self._judge(gone, before)

        self.patch.setattr(self.removing, "delete", judged)

    def teardown(self) -> None:
        self.patch.undo()
        Removal.objects.all().delete()
        Turn.objects.all().delete()
        Hold.objects.all().delete()
        Proof.objects.all().delete()
        Policy.objects.update(last_run=None)
        RunSnapshot.objects.all().delete()
        Run.objects.all().delete()
        Policy.objects.all().delete()

    # What must never be deleted

    def _judge(self, gone: str, before: frozenset[str]) -> None:
        """Note what is wrong with this deletion; raised here, the product would log it and go on."""
        self.deleted += 1
        self.wrong += [f"{gone}: {why}" for why in self._wrongs(gone, before)]

    def _wrongs(self, gone: str, before: frozenset[str]) -> Iterator[str]:
        target, worth, at, run = self.worth[gone]
        now, policy = clock.now(), Policy.objects.get()
        if gone in self.foreign:
            yield "it is not ours"
        if Hold.objects.filter(run=run, released_at=None).exclude(until__lte=now).exists():
            yield "it was held"
        if not policy.enabled:
            yield "its policy is disabled"
        if policy.may_be_frozen_since is not None:
            yield "its application may be frozen"
        if self.removing.images_of(REGION, [gone]):
            yield "an AMI needs it"
        others = [self.worth[key] for key in before - {gone} if self._is_usable(key)]
        newer = [one for one in others if one[0] == target and at < one[2] <= now]
        if not newer:
            yield "it was the last usable one of its target"
        if worth == Consistency.APPLICATION and all(one[1] != worth for one in newer):
            yield "it was the last application-consistent one of its target"
        if run in self.proven and not any(one[3] in self.proven for one in newer):
            yield "it was the last proven one of its target"

    def _is_usable(self, snapshot_id: str) -> bool:
        """It is in AWS as it was made, and the server intends to keep it."""
        row = RunSnapshot.objects.get(snapshot_id=snapshot_id)
        return row.state == RunSnapshot.State.COMPLETED

    # What happens

    @initialize(rules=st.integers(1, 3))
    def begin(self, rules: int) -> None:
        self.policy = PolicyFactory.create(owner=alice(), name="policy1", keep_last=rules)
        for _ in range(6):
            self.back_up(INSTANCES[0], Consistency.APPLICATION, hours=20)

    @rule(
        instance=st.sampled_from(INSTANCES),
        worth=st.sampled_from((Consistency.APPLICATION, Consistency.CRASH)),
        hours=st.integers(1, 40),
    )
    def back_up(self, instance: str, worth: Consistency, hours: int) -> None:
        self.real += timedelta(hours=hours)
        with suppress(Policy.DoesNotExist):
            self.policy.refresh_from_db()
        run = point(self.policy, clock.now(), worth, instance)
        row = RunSnapshot.objects.get(target__run=run)
        self._put(row, {SERVER_TAG: home.server_id(), RUN_TAG: str(run.pk)})
        self.worth[row.snapshot_id] = instance, worth, clock.now(), run.pk

    def _put(self, row: RunSnapshot, tags: dict[str, str]) -> None:
        made = Snapshot(row.snapshot_id, row.volume_id, "completed", 100, tags=tags)
        self.cloud.keep(REGION, made)

    @rule(
        last=st.integers(0, 3),
        daily=st.integers(0, 2),
        weekly=st.integers(0, 1),
        zone=st.sampled_from(ZONES),
    )
    def edit(self, last: int, daily: int, weekly: int, zone: str) -> None:
        Policy.objects.update(
            keep_last=last,
            keep_daily=daily,
            keep_weekly=weekly,
            retention_timezone=zone,
            cleaned_at=None,
        )

    @rule(name=st.sampled_from(("policy1", "renamed", "again")))
    def rename(self, name: str) -> None:
        Policy.objects.update(name=name)

    @rule(enabled=st.booleans())
    def switch(self, enabled: bool) -> None:
        Policy.objects.update(enabled=enabled, cleaned_at=None)

    @rule(frozen=st.booleans())
    def freeze(self, frozen: bool) -> None:
        Policy.objects.update(may_be_frozen_since=clock.now() if frozen else None)

    @rule(hours=st.sampled_from((-100, -30, -1, 1, 30, 100)))
    def jump(self, hours: int) -> None:
        self.shift += timedelta(hours=hours)

    @rule(hours=st.integers(1, 50))
    def pass_time(self, hours: int) -> None:
        self.real += timedelta(hours=hours)

    @rule(
        which=st.integers(1, 4),
        kind=st.sampled_from(list(HoldKind)),
        hours=st.sampled_from((0, 0, 20, 60)),
    )
    def hold(self, which: int, kind: HoldKind, hours: int) -> None:
        """Somebody, or the server's own work, holds one of the oldest."""
        there = self._newest_first()
        if which > len(there):
            return
        run = Run.objects.get(pk=self.worth[there[-which]][3])
        until = clock.now() + timedelta(hours=hours) if hours else None
        with suppress(BackupError):
            holds.take(run.pk, kind, key="k", reason="used", until=until)

    @rule(
        which=st.integers(1, 4),
        state=st.sampled_from((State.PASSED, State.PASSED, State.FAILED, State.NOT_POSSIBLE)),
        level=st.sampled_from((Level.READABLE, Level.MOUNTS, Level.AGREES)),
    )
    def prove(self, which: int, state: State, level: Level) -> None:
        """One of the oldest is proven. That AWS gives bytes is no proof, and what could not be tried says nothing."""
        there = self._newest_first()
        if which <= len(there):
            run = Run.objects.get(pk=self.worth[there[-which]][3])
            proven(run, state, level)
            if state == State.PASSED and level >= Level.MOUNTS:
                self.proven.add(run.pk)
            elif state != State.NOT_POSSIBLE:
                self.proven.discard(run.pk)

    @rule(data=st.data())
    def release(self, data: Any) -> None:
        run = self._some_run(data)
        for kind in HoldKind:
            holds.drop(run.pk, kind, key="k")

    @rule(which=st.integers(0, 2))
    def delete_outside(self, which: int) -> None:
        """Somebody deletes one of the newest snapshots in the console, and the server does not know it yet."""
        there = self._newest_first()
        if which < len(there):
            self.cloud.delete_snapshot(there[which])

    def _newest_first(self) -> list[str]:
        return sorted(
            self.cloud.snapshot_ids,
            key=lambda snapshot_id: self.worth[snapshot_id][2],
            reverse=True,
        )

    @rule(which=st.integers(1, 4), server=st.sampled_from((FOREIGN, "")))
    def retag(self, which: int, server: str) -> None:
        there = self._newest_first()
        if which <= len(there):
            found = there[-which]
            row = RunSnapshot.objects.get(snapshot_id=found)
            self._put(row, {SERVER_TAG: server, RUN_TAG: str(self.worth[found][3])})
            self.foreign.add(found)

    @rule(which=st.integers(1, 4))
    def make_an_ami(self, which: int) -> None:
        there = self._newest_first()
        if which <= len(there):
            self.removing.add_image(REGION, [there[-which]])

    @rule(
        deed=st.sampled_from(("delete", "images_of", "in_bin_until", "describe", "tag")),
        error=st.sampled_from(ERRORS),
        done=st.booleans(),
    )
    def fail(self, deed: Any, error: Any, done: bool) -> None:
        cloud: Any = self.cloud if deed in {"describe", "tag"} else self.removing
        cloud.fail_next(deed, error, done=done)

    @rule()
    def tick(self) -> None:
        cleaning.tick()

    @rule()
    def two_days(self) -> None:
        """What the rules let go is announced, and is due a day later."""
        Policy.objects.update(cleaned_at=None)
        cleaning.tick()
        self.real += timedelta(hours=25)
        cleaning.tick()

    @rule(last=st.integers(1, 2), deed=st.sampled_from(("gone", "tag", "hold", "proof")))
    def calm_days(self, last: int, deed: str) -> None:
        """Nothing is in the way of the rules, but something happened to the newest or to the oldest one."""
        Policy.objects.update(enabled=True, may_be_frozen_since=None)
        self.shift = timedelta()
        for _ in range(3):
            self.back_up(INSTANCES[0], Consistency.APPLICATION, hours=20)
        self.edit(last, 0, 0, "UTC")
        if deed == "gone":
            self.delete_outside(0)
        elif deed == "tag":
            self.retag(1, FOREIGN)
        elif deed == "proof":
            self.prove(1, State.PASSED, Level.MOUNTS)
        else:
            self.hold(1, HoldKind.PROOF, 0)
        self.two_days()

    @precondition(lambda self: not hasattr(self, "calm"))
    @rule(deed=st.sampled_from(("gone", "tag", "hold", "proof")))
    def calm_begin(self, deed: str) -> None:
        """The same, once, before everything else has come in its way."""
        self.calm = True
        self.calm_days(1, deed)

    @rule()
    def refresh(self) -> None:
        known = RunSnapshot.objects.filter(state=RunSnapshot.State.COMPLETED)
        missing = list(known.values_list("snapshot_id", flat=True))
        refreshing.enter((), [s for s in missing if s not in self.cloud.snapshot_ids])

    @rule()
    def prune(self) -> None:
        with suppress(BackupError):
            cleaning.prune(Policy.objects.get(), by="alice")

    @rule(keeps=st.booleans())
    def bin(self, keeps: bool) -> None:
        self.removing.bin_keeps = timedelta(days=7) if keeps else timedelta()

    @rule(data=st.data())
    def take_back(self, data: Any) -> None:
        with suppress(BackupError):
            taking_back.take_back(self._some_run(data), by="alice")

    @rule(step=st.sampled_from(("begin", "enter_deleted", "end", "withdraw")), late=st.booleans())
    def crash(self, step: str, late: bool) -> None:
        """The process dies before or after this step, and its lease is over when the next one comes."""
        act = getattr(removals, step)

        def die(*args: Any, **kwargs: Any) -> None:
            if late:
                act(*args, **kwargs)
            raise CrashError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(removals, step, die)
            with suppress(CrashError):
                cleaning.tick()
        Turn.objects.all().delete()

    @rule(late=st.booleans())
    def crash_at_the_call(self, late: bool) -> None:
        delete = self.removing.delete

        def die(region: str, snapshot_id: str) -> None:
            if late:
                with suppress(BackupError):
                    delete(region, snapshot_id)
            raise CrashError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.removing, "delete", die)
            with suppress(CrashError):
                cleaning.tick()
        Turn.objects.all().delete()

    def _some_run(self, data: Any) -> Run:
        keys = list(Run.objects.order_by("created_at", "pk").values_list("pk", flat=True))
        return Run.objects.select_related("account").get(pk=data.draw(st.sampled_from(keys)))

    @invariant()
    def nothing_wrong_was_deleted(self) -> None:
        assert self.wrong == []

    # What the rows say

    @precondition(lambda self: hasattr(self, "policy"))
    @invariant()
    def no_row_says_kept_of_what_was_deleted(self) -> None:
        """What the server itself deleted is nowhere shown as there."""
        ended = Removal.objects.filter(ended_at__isnull=False).values_list("run", flat=True)
        left = RunSnapshot.objects.filter(
            target__run__in=list(ended), state=RunSnapshot.State.DELETING
        )
        assert not left.exists()
        gone = RunSnapshot.objects.filter(state=RunSnapshot.State.DELETED)
        for row in gone:
            assert row.snapshot_id not in self.cloud.snapshot_ids


@pytest.mark.django_db
@pytest.mark.one_database
def test_nothing_is_ever_deleted_that_must_stay() -> None:
    deleting.log.disabled = True
    given = settings(
        max_examples=12,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Cleaning, settings=given)
