"""Whatever happens in any order: no copy is made twice, and the last of its kind is never deleted."""

from collections.abc import Callable, Mapping
from datetime import timedelta

import hypothesis.strategies as st
import pytest
import time_machine
from hypothesis import HealthCheck, given, settings

from n2wbackup.lib import clock
from policies.domain.errors import (
    AnswerLostError,
    NotPermittedError,
    ThrottledError,
)
from policies.domain.runs.verdict import Consistency
from policies.models import Copy, Hold
from policies.services.copies import rows
from tests.policies.services.copies.ground import START, THERE, Copying

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
STEPS = st.lists(
    st.sampled_from(
        [
            "back up",
            "back up crash",
            "turn",
            "turn",
            "settle",
            "fail",
            "clean",
            "clean",
            "lose",
            "lose done",
            "throttle",
            "deny",
            "lose delete",
            "again",
            "day",
            "hour",
            "edit",
            "disable",
            "delete outside",
        ]
    ),
    min_size=5,
    max_size=25,
)


def again(_: Copying) -> None:
    for copy in Copy.objects.filter(state="failed", snapshot_id="").select_related("run"):
        rows.again(copy)


def switch(copying: Copying) -> None:
    copying.policy.enabled = not copying.policy.enabled
    copying.policy.save()


def delete_outside(copying: Copying) -> None:
    for made in copying.in_aws()[:1]:
        copying.cloud.delete_snapshot(made)


ACTS: Mapping[str, Callable[[Copying], object]] = {
    "back up": lambda copying: copying.backed_up(),
    "back up crash": lambda copying: copying.backed_up(consistency=Consistency.CRASH),
    "turn": lambda copying: copying.turn(),
    "settle": lambda copying: copying.settle(),
    "fail": lambda copying: copying.settle(fails=True),
    "clean": lambda copying: copying.clean(),
    "lose": lambda copying: copying.own.fail_next("copy", AnswerLostError("Lost.")),
    "lose done": lambda copying: copying.own.fail_next("copy", AnswerLostError("L."), done=True),
    "throttle": lambda copying: copying.own.fail_next("copy", ThrottledError("Often.")),
    "deny": lambda copying: copying.own.fail_next("copy", NotPermittedError("Denied.")),
    "lose delete": lambda copying: copying.deleting.fail_next(
        "delete", AnswerLostError("L."), done=True
    ),
    "again": again,
    "edit": lambda copying: copying.rule(keep_last=2),
    "disable": switch,
    "delete outside": delete_outside,
}
SPANS = {"day": timedelta(days=1), "hour": timedelta(hours=1)}


def check(copying: Copying, before: set[str], outside: set[str]) -> None:
    made = [s for s in copying.cloud.in_region(THERE) if "n2wbackup:copy" in s.tags]
    numbers = [s.tags["n2wbackup:copy"] for s in made if s.state != "error"]
    assert len(numbers) == len(set(numbers)), "a copy was made twice"
    for consistency in ("application", "crash"):
        there = Copy.objects.filter(source__target__consistency=consistency)
        if there.filter(state__in=["deleting", "deleted"]).exists():
            better = ["application"] if consistency == "application" else ["application", "crash"]
            left = Copy.objects.filter(
                state="completed", source__target__consistency__in=better
            ).exclude(snapshot_id__in=outside)
            assert left.exists() or outside, "the last one was deleted"
    sources = {s.snapshot_id for s in copying.cloud.in_region("us-east-1")}
    assert before <= sources, "a source was deleted"
    under_way = Copy.objects.filter(state__in=["planned", "asking", "pending"])
    held = set(Hold.objects.filter(kind="copy", released_at=None).values_list("key", flat=True))
    assert held == {str(copy.pk) for copy in under_way}, "a hold is missing or was left"


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_no_order_of_events_makes_two_copies_or_deletes_the_last(
    copying: Copying, steps: list[str]
) -> None:
    with time_machine.travel(START, tick=False) as now:
        Copy.objects.all().delete()
        Hold.objects.all().delete()
        copying.policy.runs.all().delete()
        copying.rules()
        for cloud in (copying.cloud, copying.far):
            for one in [*cloud.in_region(THERE), *cloud.in_region("us-east-1")]:
                cloud.delete_snapshot(one.snapshot_id)
        copying.own._faults.clear()
        copying.rule(keep_last=1)
        now.shift(timedelta(minutes=1))
        outside = set[str]()
        for step in steps:
            before = {s.snapshot_id for s in copying.cloud.in_region("us-east-1")}
            if step == "delete outside":
                outside |= set(copying.in_aws()[:1])
            if step in SPANS:
                now.shift(SPANS[step])
            else:
                ACTS[step](copying)
            check(copying, before, outside)
            now.shift(timedelta(seconds=20))
        assert clock.now() > START
