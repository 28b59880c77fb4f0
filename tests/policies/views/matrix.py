"""The world of the permission matrix: people, one row of Alice's for each page, and what a form of it would change."""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db import models, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from n2wbackup.lib import clock
from policies.domain.alarms.messages import AlarmKind
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import (
    Account,
    Alarm,
    AlarmReceivers,
    Policy,
    PolicyTarget,
    Run,
    Server,
)
from policies.services.entry import pausing, policies
from policies.services.retention import holds
from scripts_admin.models import Folder, FormerFolder, SshHost, User
from scripts_admin.services import users
from tests.policies.views import (
    addresses,
    admin_forms,
    browser_form,
    changes,
    copy_rows,
    inventory_rows,
    opened_rows,
    page_forms,
    proof_rows,
    recovery_rows,
    script_files,
    script_rows,
)
from tests.policies.views import logins as logins_before

PASSWORD, NEW = page_forms.PASSWORD, page_forms.NEW
WHO = ("nobody", "owner", "other", "staff", "rights", "owning", "boss")
METHODS = ("get", "put", "delete", "post")
_SENT = ("test_accounts", "test_alarms")  # they ask AWS and send messages, and change nothing


@dataclass(frozen=True)
class World:
    """`clients`: one for each of WHO. `rows`: what the addresses of each model name."""

    clients: dict[str, Client]
    rows: Mapping[str, models.Model]
    people: Mapping[str, User]
    forms: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @cached_property
    def untouched(self) -> dict[str, str]:
        """The digests from before anything was done: each try is undone."""
        return changes.digests()


def made() -> World:
    """Make the rows. Alice owns them; with staff status and all permissions she is `owning`, without she is `owner`."""
    names = ("alice", "carol", "dora", "bob", "anna", "boss")
    people = {name: User(username=name) for name in names}
    for name in ("dora", "bob", "boss"):
        people[name].is_staff = True
    people["boss"].is_superuser = True
    for person in people.values():
        person.set_password(PASSWORD)
        users.save(person)
    rights = Permission.objects.exclude(codename="use_server_role")
    people["bob"].user_permissions.set(rights)
    rows = _rows(people["alice"], people["anna"])
    logins = {
        "owner": "alice",
        "other": "carol",
        "staff": "dora",
        "rights": "bob",
        "owning": "alice",
        "boss": "boss",
    }
    clients = {"nobody": Client(raise_request_exception=False)}
    for who, name in logins.items():
        clients[who] = Client(raise_request_exception=False)
        clients[who].force_login(people[name])
        logins_before.confirm(clients[who])
        clients[who].get("/")  # the first page of a session notes when it began
    return World(clients, rows, people)


def _rows(alice: User, unused: User) -> dict[str, models.Model]:
    keys = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": admin_forms.SECRET}
    lab, spare = (Account.objects.create(owner=alice, name=n, **keys) for n in ("lab", "spare"))
    policy, busy = (Policy(owner=alice, account=lab, name=name) for name in ("policy1", "busy"))
    policies.save(policy)
    policies.save(busy)
    Policy.objects.filter(pk=policy.pk).update(may_be_frozen_since=clock.now())
    PolicyTarget.objects.create(
        policy=policy,
        instance_id="i-0bbbbbbbbbbbbbbbb",
        region="us-east-1",
        remote_by="ssh",
        remote_user="app",
    )
    pausing.pause(policy, until=clock.now() + timedelta(days=1), reason="a move", by="alice")
    run = Run.objects.create(
        policy=busy,
        owner=alice,
        account=lab,
        policy_name=busy.name,
        owner_name=alice.username,
        trigger=Trigger.MANUAL,
        state=State.QUEUED,
        created_at=clock.now(),
        restore_point=True,
    )
    holds.hold(run, reason="a legal matter", until=None, by="alice")
    return {
        **inventory_rows.made(lab, policy),
        **opened_rows.made(policy),
        **recovery_rows.made(policy),
        "account": spare,
        "copyrule": copy_rows.made(policy, run),
        "alarm": _alarm(alice),
        "alarmreceivers": AlarmReceivers.objects.create(policy=policy, urls="json://example.org"),
        "folder": Folder.objects.get(owner=alice),
        "formerfolder": FormerFolder.objects.create(
            name="gone", deleted_at=clock.now(), is_set_aside=True
        ),
        "group": Group.objects.create(name="operators"),
        "policy": policy,
        "proof": proof_rows.made(run),
        "run": run,
        "schedule": admin_forms.schedule(alice),
        "scriptversion": script_rows.made(alice, run),
        "server": Server.objects.create(
            id="6f1c3c0e-0000-4000-8000-000000000001",
            host="one",
            version="1",
            first_seen_at=clock.now(),
            heartbeat_at=clock.now(),
        ),
        "sshhost": SshHost.objects.create(
            folder=Folder.objects.get(owner=alice), name="db1", added_at=clock.now()
        ),
        "user": unused,
    }


def _alarm(alice: User) -> Alarm:
    times = {"created_at": clock.now(), "not_before": clock.now()}
    return Alarm.objects.create(
        kind=AlarmKind.FAILED, owner=alice, label="alice/busy", title="a", **times
    )


def routes() -> list[str]:
    """Return every address that the server knows, as its pattern."""
    return sorted(_APPS.sub(_in_order, route) for route in _walk(get_resolver(), ""))


# The admin names its applications in the order in which this process imported them.
_APPS = re.compile(r"(?<=<app_label>)[^)]+")


def _in_order(found: re.Match[str]) -> str:
    return "|".join(sorted(found[0].split("|")))


def _walk(resolver: URLResolver, prefix: str) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield route
        else:
            yield from _walk(pattern, route)


# So many addresses that they are tried by themselves: a test must end on a busy machine, too.
_LARGE = {
    *("accounts", "alarms", "coverage", "files", "people"),
    *("policies", "profile", "runs", "schedules", "scripts"),
}


def group(route: str) -> str:
    """Return what is tried together: a model of the admin, what begins alike, or all others."""
    parts = route.split("/")
    if parts[0] == "admin" and len(parts) > 3:
        return "/".join(parts[:3])
    return parts[0] if parts[0] in _LARGE else "pages"


def path(world: World, route: str) -> str:
    """Return an address of the route, for the row of Alice's."""
    parts = route.split("/")
    row = world.rows.get(parts[2]) if len(parts) > 2 and parts[0] == "admin" else None
    filled = recovery_rows.filled(world.rows, route)
    for name, value in {
        "<path:object_id>": str(row.pk) if row else "1",
        "<id>": str(row.pk) if row else "1",
        "<path:content_type_id>": "1",
        "people/<str:name>": "people/anna",
        "<str:owner>": "alice",
        "<str:name>": _NAMED.get(parts[0], "policy1"),
        **{part: str(world.rows[kind].pk) for part, kind in addresses.KEYS.items()},
        "<slug:word>": "cancel",
        "<slug:slug>": script_files.RECIPE,
        "<str:instance>": script_rows.INSTANCE,
        **dict.fromkeys(("<str:phase>", "<slug:phase>"), "before"),
        **dict.fromkeys(("<int:attempt>", "<int:session>", "<int:pk>"), "1"),
        "<str:stream>": "stdout",
        "<str:word>": "no-such-link",
        "<slug:snapshot_id>": opened_rows.SNAPSHOT,
        "^(?P<app_label>auth|policies|scripts_admin)/$": "policies/",
        "(?P<url>.*)$": "no/such/page/",
    }.items():
        filled = filled.replace(name, value)
    return f"/{filled}{_ASKED.get(route, '')}"


_NAMED = {"schedules": "nightly", "accounts": "spare", "scripts": script_files.NAME}
_ASKED = {
    "admin/autocomplete/": "?app_label=policies&model_name=run&field_name=policy&term=",
    "files/<uuid:opened_id>/download/": "?at=file",
}


def forms(world: World, route: str) -> list[dict[str, Any]]:
    """Return forms that would change something, if the person may send them."""
    if route not in world.forms:
        parts = route.split("/")
        of_a_model = parts[0] == "admin" and len(parts) > 3 and parts[2] in world.rows
        world.forms[route] = (
            _of_a_model(world, parts[2], parts[-2], path(world, route))
            if of_a_model
            else [_of_page(world, route)]
        )
    return world.forms[route]


def _of_page(world: World, route: str) -> dict[str, Any]:
    if route == "coverage/decide/":
        return {"item": world.rows["inventoryitem"].pk, "do": "leave", "reason": "no need"}
    return (
        _OF_PAGES.get(route)
        or opened_rows.form(route)
        or recovery_rows.form(world.rows, route)
        or script_files.forms().get(route)
        or page_forms.of(route, world.people["alice"])
    )


_OF_PAGES = script_rows.FORMS | page_forms.FIXED
_OF_MODELS: dict[str, dict[str, Any]] = {
    "password": {"usable_password": "true", "password1": NEW, "password2": NEW},
    "delete": {"post": "yes"},
}


def _of_a_model(world: World, kind: str, page: str, address: str) -> list[dict[str, Any]]:
    if page in _OF_MODELS:
        return [_OF_MODELS[page]]
    if page not in {"add", "change"}:
        return _actions(world, kind)
    row = world.rows[kind]
    if isinstance(row, Policy):
        if page == "add":
            row = Policy(owner=row.owner, account=row.account, name="new")
        return [admin_forms.policy_form(row, _TARGET, max_freeze_seconds=51)]
    more = _added(world, kind) if page == "add" else _CHANGED.get(kind, {})
    return [_filled(world, address) | more]


_TARGET = {"instance_id": admin_forms.INSTANCE, "volume_id": "", "region": "us-east-1"}
_CHANGED: dict[str, dict[str, Any]] = {
    "account": {"region": "eu-west-1"},
    "alarmreceivers": {"new_urls": "json://example.com"},
    "group": {"name": "renamed"},
    "schedule": {"cron": "0 4 * * *"},
    "user": {"email": "new@example.org"},
}


def _added(world: World, kind: str) -> dict[str, Any]:
    alice = world.people["alice"]
    if kind == "schedule":
        return admin_forms.schedule_form(alice, name="new")
    added: dict[str, dict[str, Any]] = {
        "account": {
            "owner": alice.pk,
            "name": "new",
            "auth": "keys",
            "region": "us-east-1",
            "access_key_id": "AKIAIOSFODNN7EXAMPLE",
            "new_secret": admin_forms.SECRET,
        },
        "alarmreceivers": {"user": alice.pk, "new_urls": "json://example.com"},
        "group": {"name": "new"},
        "user": {
            "username": "newone",
            "usable_password": "true",
            "password1": NEW,
            "password2": NEW,
        },
    }
    return added.get(kind, {})


def _actions(world: World, kind: str) -> list[dict[str, Any]]:
    row = world.rows[kind]
    own = [str(name) for name in admin.site.get_model_admin(type(row)).actions or ()]
    return [
        {"action": action, "_selected_action": [row.pk], "post": "yes"}
        for action in ("delete_selected", *own)
        if action not in _SENT
    ]


def _filled(world: World, address: str) -> dict[str, Any]:
    page = world.clients["boss"].get(address)
    values = browser_form.Form(page.content.decode()).values if page.status_code == 200 else {}
    return {name: value for name, value in values.items() if not name.startswith("_")}


def observed(world: World, route: str, who: str) -> str:
    """Do everything there that a person could, undo it, and return what came of it.

    L: sent to the login page. F: forbidden. N: not found. A: away, as if the row did not exist. R: may look.
    W: may look, and a POST changes something. Otherwise what is wrong.
    """
    answers = {}
    for method in METHODS:
        for form in forms(world, route) if method == "post" else [{}]:
            kind, changed = _tried(world, route, who, method, form)
            if kind.startswith("5") or (changed and method != "post"):
                return f"{method.upper()} {kind} {changed=}"
            answers[method, changed] = kind
    looked = answers["get", False]
    if looked in "LFNA" and ("post", True) in answers:
        return f"{looked}, but changed"
    if looked not in "LFNA":
        return "W" if ("post", True) in answers else "R"
    others = {kind for (method, _), kind in answers.items() if method != "get"}
    return looked if others <= {looked, "F", "405"} else f"{looked}, but {sorted(others)}"


def _tried(
    world: World, route: str, who: str, method: str, form: dict[str, Any]
) -> tuple[str, bool]:
    client = world.clients[who]
    cookies = copy.deepcopy(client.cookies)
    with transaction.atomic():
        if who == "owning":
            _promote(world.people["alice"])
            before = world.untouched | changes.digests(_OF_A_PROMOTION)  # its rows have new numbers
        else:
            before = world.untouched
        if route.startswith("scripts/"):
            script_files.lay()
        with changes.writes() as written:
            answer = getattr(client, method)(path(world, route), form)
        changed = changes.changed(before, written)
        if route.startswith("scripts/"):
            changed |= script_files.changed()
        transaction.set_rollback(True)
    client.cookies = cookies
    return _kind(answer, route), changed


_OF_A_PROMOTION = (User._meta.db_table, User.user_permissions.through._meta.db_table)


def _promote(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    alice.user_permissions.set(Permission.objects.exclude(codename="use_server_role"))


def _kind(answer: Any, route: str) -> str:
    target = answer.headers.get("Location", "")
    if answer.status_code == 302 and target.startswith(("/login/", "/admin/login/")):
        return "ok" if route in {"admin/login/", "logout/"} else "L"
    if answer.status_code == 302 and target == "/admin/" and route != "admin/login/":
        return "A"
    if answer.status_code in {403, 404}:
        return {403: "F", 404: "N"}[answer.status_code]
    return "ok" if answer.status_code in {200, 301, 302} else str(answer.status_code)
