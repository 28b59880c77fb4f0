"""What is asked of a server: its turns, and every list and page, as calls in this process."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from unittest.mock import patch

from django.apps import apps
from django.contrib import admin
from django.db import transaction
from django.test import Client
from django.urls import reverse

from n2wbackup.lib import clock
from policies import tasks
from policies.domain.retention.plan import plan
from policies.domain.retention.points import Point
from policies.domain.retention.rules import Rules
from policies.domain.runs.verdict import Consistency
from policies.models import Policy, Proof, Run
from policies.ports import Snapshot
from policies.services.alarms import delivering
from policies.services.due import hints, retrying, ticking
from policies.services.following import polling, tagging
from policies.services.watch import abandoned
from scripts_admin.models import User
from tests.bench.history.entered import BOSS

Act = Callable[[], object]
OWNER = "user1"
_LISTS = {
    "runs": (
        *("", "state=succeeded", "state=cancelled", "state=waiting", "trigger=test"),
        *(
            "state=missed&trigger=manual",
            "policy=user1/policy1",
            "since=2020-01-01&until=2020-01-31",
        ),
        "state=partial&until={day}",
    ),
    "policies": ("",),
    "snapshots": ("",),
    "proofs": ("",),
    "recoveries": ("",),
    "costs": ("",),
    "evidence": ("",),
    "schedules": ("",),
}
_NARROWED = {
    "run": (
        *("state__exact=cancelled", "consistency__exact=crash", "trigger__exact=test"),
        *("of_policy=5", "q=user1/policy1", "q=nothing"),
    ),
    "policy": ("q=policy77",),
    "alarm": ("q=user1/policy1", "kind__exact=partial"),
}


def turns() -> Mapping[str, Act]:
    """Return the tick, the clerk's turn and the poll, without what AWS and receivers take."""
    return {
        "tick": _all(hints.resend, retrying.tick, ticking.tick),
        "clerk": _all(abandoned.enter_all, delivering.spread, delivering.told, delivering.claim),
        "poll": _all(polling.poll, tagging.tag_due),
        "plan of 10,000 restore points": _plan,
    }


def _plan() -> None:
    """Decide about ten thousand restore points of a policy, without reading them."""
    now, worth = clock.now(), Consistency.APPLICATION
    hourly = [
        Point(f"{number}", now - timedelta(hours=number), worth, {"i-1": worth})
        for number in range(10_000)
    ]
    rules = Rules(keep_last=7, daily=14, weekly=8, monthly=12, yearly=3, timezone="Europe/Berlin")
    plan(hourly, rules, [], now)


def _all(*steps: Act) -> Act:
    def turn() -> None:
        for step in steps:
            step()

    return turn


def pages() -> Mapping[str, Act]:
    """Return each page, as a superuser and as an owner see it; a page that fails raises."""
    found: dict[str, Act] = {}
    for name in (BOSS, OWNER):
        client = Client(HTTP_HOST="localhost")
        client.force_login(User.objects.get(username=name))
        for address in _addresses(name):
            found[f"{name} {address}"] = _get(client, address)
    return found


def _addresses(name: str) -> list[str]:
    middle = Run.objects.order_by("created_at").filter(owner__username=OWNER).first()
    assert middle is not None
    day = f"{middle.created_at:%Y-%m-%d}"
    found = [
        f"{reverse(page)}{'?' if query else ''}{query.format(day=day)}"
        for page, queries in _LISTS.items()
        for query in queries
    ]
    policy = Policy.objects.select_related("owner").get(name="policy1")
    found += [reverse("run", args=[middle.pk])]
    own = Proof.objects.filter(owner__username=OWNER).values_list("pk", flat=True)
    found += [reverse("proof", args=[key]) for key in own[:1]]
    named = [policy.owner.username, policy.name]
    found += [reverse("policy", args=named), reverse("policy-retention", args=named)]
    return found + (_of_the_admin(middle, policy) if name == BOSS else [])


def _of_the_admin(run: Run, policy: Policy) -> list[str]:
    found = [reverse("admin:index")]
    for model in apps.get_models():
        if model in admin.site._registry:
            kind = model._meta.model_name or ""
            address = reverse(f"admin:{model._meta.app_label}_{kind}_changelist")
            found += [address, *(f"{address}?{query}" for query in _NARROWED.get(kind, ()))]
    found += [reverse("admin:policies_run_change", args=[run.pk])]
    found += [reverse("admin:policies_policy_change", args=[policy.pk])]
    found += [reverse("admin:policies_alarmreceivers_add")]
    return found


def _get(client: Client, address: str) -> Act:
    def get() -> None:
        answer = client.get(address)
        if answer.status_code != 200:
            raise RuntimeError(f"{address} answered {answer.status_code}.")
        if answer.streaming:
            for _ in answer:
                pass

    return get


def measured(act: Act, times: int) -> list[float]:
    """Return how long each call took, after one that is not counted; what they write is taken back."""
    found = []
    for number in range(times + 1):
        with transaction.atomic():
            began = time.perf_counter()
            act()
            took = time.perf_counter() - began
            transaction.set_rollback(True)
        if number:
            found.append(took)
    return found


def ticks(times: int) -> list[float]:
    """Return how long the whole task that beat sends each second took, each time; nothing may be due."""
    before = Run.objects.count()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        tasks.tick()
        found.append(time.perf_counter() - began)
    if Run.objects.count() != before:
        raise RuntimeError("A tick of the bench found policies that were due.")
    return found


def everything(tick_times: int, times: int) -> str:
    """Return all measurements as JSON: ticks, then seconds by kind and name; nothing is due, AWS answers at once."""
    logging.disable(logging.CRITICAL)
    later = clock.now() + timedelta(minutes=14)
    Run.objects.unfinished().filter(not_before__isnull=False).update(not_before=later)
    found: dict[str, object] = {"ticks": ticks(tick_times)}
    kinds = {"turns": turns(), "pages": pages()} if times else {"turns": {}, "pages": {}}
    with (
        patch("policies.adapters.session.cloud", return_value=_Cloud()),
        patch("policies.services.watch.abandoned.close_old_connections"),
    ):
        for kind, acts in kinds.items():
            found[kind] = {name: measured(act, times) for name, act in acts.items()}
    return json.dumps(found)


class _Cloud:
    """An AWS whose snapshots go on as slowly as the history says."""

    def describe(self, _region: str, snapshot_ids: Sequence[str]) -> dict[str, Snapshot]:
        return {one: Snapshot(one, "vol-0", "pending", progress=10) for one in snapshot_ids}
