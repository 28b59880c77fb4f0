"""Every free text of the database is once a tag with a script, and every address is asked: no page has that tag."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from django.apps import apps
from django.db import DatabaseError, models, transaction
from django.test import Client

from n2wbackup.lib import clock
from n2wbackup.lib.encrypted import EncryptedTextField
from policies.models import (
    AlarmMute,
    InventoryItem,
    Policy,
    Run,
    RunEvent,
    RunTarget,
)
from policies.services.retention import holds
from scripts_admin.models import AuditEntry
from tests import factories
from tests.policies.services.retention import rows as points
from tests.policies.views import matrix
from tests.policies.views.page import Page

pytestmark = [pytest.mark.django_db, pytest.mark.lasts(20), pytest.mark.one_database]
EVIL = '"><svg onload=x>'
# Who these are is in addresses and in passwords; their rules allow letters and digits only, tried elsewhere.
_NAMES = {"user.username", "policy.name", "folder.name", "user.password", "user.email"}
# These lead from what AWS has to what is covered: with other values, nothing would be listed.
_LEADING = {"region", "resource_id"}
# With the same text as the target of a policy, a volume would count as covered by it.
_COVERED = {"inventoryitem.instance_id"}
# What shows no text that people, scripts or AWS have written.
_PLAIN = (
    *("admin/", "login/", "logout/", "health/", "first/", "invited/", "profile/", "frozen/"),
    *(
        "scripts/",
        "people/linux/",
    ),  # files, hosts and accounts are not in the database: they have tests of their own
)


# Forms that are empty at first, and pages of names alone.
_SILENT = {
    *("accounts/new/", "schedules/new/", "people/invite/", "policies/"),
    "policies/<str:owner>/<str:name>/sharing/",
    *("alarms/mute/<str:owner>/<str:name>/", "alarms/receivers/<str:owner>/"),
    "policies/<str:owner>/<str:name>/delete/",
    "policies/<str:owner>/<str:name>/copies/<int:key>/remove/",
    # Numbers, names, and what the list of prices says, which is a file of the server.
    *("costs/", "policies/<str:owner>/<str:name>/costs/"),
    "server/",  # of this server, in the program's own words
}


def test_no_page_has_a_tag_that_was_typed() -> None:
    world = matrix.made()
    _add_what_the_matrix_lacks(world)
    spoilt = set(_spoil())
    assert {
        "run.reason",
        "runtarget.reason",
        "runevent.text",
        "alarm.text",
        "leftout.reason",
    } <= spoilt
    assert {"auditentry.label", "schedule.name", "account.name", "policy.paused_reason"} <= spoilt

    wrong, showing, without = list[str](), set[str](), set[str]()
    for route in matrix.routes():
        for who in ("owner", "boss"):
            address = _address(world, route)
            answer = world.clients[who].get(address)
            if answer.status_code == 200 and "html" in answer.headers.get("Content-Type", ""):
                page = Page(answer.content.decode())
                wrong += [
                    f"{who} {route}: <{tag} {attrs}>" for tag, attrs in page.tags if _is_evil(attrs)
                ]
                shows = "onload=x" in page.text or any(
                    "onload=x" in str(a.values()) for _, a in page.tags
                )
                (showing if shows else without).add(route)
            _log_in(world, who)
    assert wrong == []
    silent = {route for route in without - showing if not route.startswith(_PLAIN)}
    assert silent == _SILENT


def _is_evil(attrs: dict[str, str | None]) -> bool:
    return any(name.startswith("on") for name in attrs)


def _address(world: matrix.World, route: str) -> str:
    address = matrix.path(world, route)
    for name in ("nightly", "spare"):
        address = address.replace(name, quote(EVIL))
    return address


def _log_in(world: matrix.World, who: str) -> None:
    """Stay the person, whatever the page that was asked for does to sessions."""
    client: Client = world.clients[who]
    client.force_login(world.people["alice" if who == "owner" else who])


def _add_what_the_matrix_lacks(world: matrix.World) -> None:
    run = world.rows["run"]
    assert isinstance(run, Run)
    policy = world.rows["policy"]
    assert isinstance(policy, Policy)
    now = clock.now()
    Run.objects.filter(pk=run.pk).update(state="failed", ended_at=now, gone_at=now)
    Policy.objects.update(failed_since=now, last_run=run)
    target = RunTarget.objects.create(run=run, instance_id="i-0123456789", region="us-east-1")
    factories.RunSnapshotFactory.create(
        target=target, snapshot_id="snap-0123456789", volume_id="vol-0123456789"
    )
    RunEvent.objects.create(run=run, at=now, state="failed", text="t")
    factories.result(run, "before", attempt=2, stdout=f"{EVIL}\n", stderr=f"{EVIL}\n", ended_at=now)
    holds.hold(points.point(policy, now), reason="r", until=None, by="b")
    AlarmMute.objects.create(policy=policy, begun_at=now, until=now, reason="r", by="b")
    AuditEntry.objects.create(
        at=now, action="changed", kind="policy", label="l", changes=[[EVIL, EVIL, EVIL]]
    )
    InventoryItem.objects.update(tags={EVIL: EVIL})


def _spoil() -> Iterator[str]:
    """Write the tag into each column of text that takes it; yield which those are."""
    for model in apps.get_models():
        if model._meta.app_label not in {"policies", "scripts_admin"}:
            continue
        for column in model._meta.concrete_fields:
            name = f"{model._meta.model_name}.{column.name}"
            if _is_free(column) and name not in _NAMES | _COVERED and _wrote(model, column.name):
                yield name


def _is_free(column: models.Field) -> bool:  # type: ignore[type-arg] # any field
    if not isinstance(column, models.CharField | models.TextField) or column.primary_key:
        return False
    is_short = column.max_length is not None and column.max_length < len(EVIL)
    is_leading = column.name in _LEADING and column.model is not RunTarget
    return not (is_short or is_leading or column.choices or isinstance(column, EncryptedTextField))


def _wrote(model: type[models.Model], column: str) -> bool:
    """Write it, unless the database refuses; only one row where it must be unique."""
    rows = model._base_manager.all()
    for some in (rows, rows.filter(pk__in=rows.order_by("-pk").values_list("pk", flat=True)[:1])):
        try:
            with transaction.atomic():
                return bool(some.update(**{column: EVIL}))
        except DatabaseError:
            continue
    return False
