"""Forms of our own pages: what would change something of Alice's, and what a browser would send."""

from datetime import timedelta
from typing import Any

from django.test import Client

from n2wbackup.lib import clock
from policies.adapters.memory import MemoryCloud
from policies.domain.document import fields
from policies.models import Account, Policy
from policies.services.entry import versions
from scripts_admin.models import User
from tests.policies.views import admin_forms
from tests.policies.views.page import Sent

_POLICY, _SCHEDULES, _ACCOUNTS = (
    f"{part}/<str:owner>/<str:name>/" for part in ("policies", "schedules", "accounts")
)
PASSWORD = "correct horse battery"
NEW = "better horse battery"
_RECEIVERS = {"do": "save", "new_urls": "json://example.com", "quiet_timezone": "UTC"}
_SHARE = {"do": "save", "kind": "person", "name": "anna", "rights": ["edit"]}
_PLACE = {
    "region": "eu-central-1",
    "completion_minutes": "0",
    **{f"keep_{word}": "0" for word in ("last", "daily", "weekly", "monthly", "yearly")},
    "keep_generations": "3",
}
FIXED: dict[str, dict[str, Any]] = {
    "alarms/mute/<str:owner>/<str:name>/": {"do": "mute", "hours": "4", "reason": "maintenance"},
    "alarms/receivers/<str:owner>/": _RECEIVERS,
    "policies/<str:owner>/<str:name>/sharing/": _SHARE,
    "scripts/<str:owner>/sharing/": _SHARE,
    "alarms/receivers/<str:owner>/<str:name>/": _RECEIVERS,
    "policies/<str:owner>/<str:name>/copies/new/": _PLACE,
    "policies/<str:owner>/<str:name>/copies/<int:key>/": _PLACE,
    "runs/<uuid:run_id>/prove/": {"level": "0", "recipe": "none"},
    "runs/<uuid:run_id>/hold/": {"reason": "an audit"},
    "login/": {"username": "carol", "password": ""},
    "scripts/<str:owner>/keys/": {"do": "make"},
    "scripts/<str:owner>/hosts/": {"name": "db2", "port": "22", "expected": ""},
    "scripts/<str:owner>/hosts/<uuid:host_id>/": {"do": "remove"},
    "coverage/rules/": {"policy": "alice/policy1", "what": "volumes", "tag": "a", "value": "b"},
    "people/<str:name>/rights/": {"superuser": "on"},
    "profile/": {"email": "new@example.org"},
    "profile/password/": {
        "old_password": PASSWORD,
        "new_password1": NEW,
        "new_password2": NEW,
    },
    "admin/password_change/": {
        "old_password": PASSWORD,
        "new_password1": NEW,
        "new_password2": NEW,
    },
}
_SCHEDULE = {"name": "weekly", "cron": "0 4 * * 1", "timezone": "UTC"}
_ACCOUNT = {
    "name": "renamed",
    "auth": "keys",
    "access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "new_secret": admin_forms.SECRET,
    "region": "us-east-1",
}


def of(route: str, alice: User) -> dict[str, Any]:
    """Return the form for the page; an empty one if a bare POST is all it takes."""
    if route in {"policies/new/", f"{_POLICY}edit/"}:
        return _policy(alice, "policy1" if "edit" in route else "new")
    soon = clock.now() + timedelta(days=2)
    forms: dict[str, dict[str, Any]] = {
        f"{_POLICY}switch/": {"on": "no"},
        f"{_POLICY}pause/": {"until": f"{soon:%Y-%m-%dT%H:%M}", "reason": "the disks move"},
        f"{_POLICY}delete/": {"name": "policy1"},
        "scripts/<str:owner>/keys/": {"do": "make"},
        "scripts/<str:owner>/hosts/": {"name": "db2", "port": "22", "expected": ""},
        "scripts/<str:owner>/hosts/<uuid:host_id>/": {"do": "remove"},
        "schedules/new/": _SCHEDULE | {"owner": alice.pk},
        f"{_SCHEDULES}edit/": _SCHEDULE,
        f"{_SCHEDULES}delete/": {"name": "nightly"},
        "accounts/new/": _ACCOUNT | {"owner": alice.pk},
        f"{_ACCOUNTS}edit/": _ACCOUNT,
        f"{_ACCOUNTS}delete/": {"name": "spare"},
    }
    return forms.get(route, {})


def _policy(alice: User, name: str) -> dict[str, Any]:
    lab = Account.objects.get(owner=alice, name="lab")
    stored = Policy.objects.get(owner=alice, name="policy1")
    changed = {"account": lab.pk, "name": name, "typed": admin_forms.INSTANCE, "retry_count": 7}
    entered = {**fields.DEFAULTS, **changed, "opened": versions.of(stored)}
    return {key: value for key, value in entered.items() if value is not False}


def filled(client: Client, path: str, **changes: object) -> dict[str, object]:
    """Return what the page's form would send, with changes; None takes a field away."""
    found = Sent(client.get(path).content.decode()).values | changes
    return {name: value for name, value in found.items() if value is not None}


def made(client: Client, cloud: MemoryCloud, **changes: object) -> dict[str, object]:
    instance = cloud.add_instance()
    target = f"us-east-1/{instance.instance_id}"
    return filled(client, "/policies/new/", name="shop", target=[target], **changes)
