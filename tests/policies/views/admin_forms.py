"""The requests of a browser to the admin pages, and the answers."""

import re

from django.db.models import Model
from django.test import Client

from policies.domain.document import fields
from policies.models import Policy, PolicyTarget, Schedule
from policies.services.entry import schedules
from scripts_admin.models import User
from scripts_admin.services import users

SECRET = "wJalrXUtnFEMI/K7MDENG"
INSTANCE, VOLUME = "i-0123456789abcdef0", "vol-0123456789abcdef0"


def user(name: str, **values: bool) -> User:
    """Make a user, with their folder."""
    made = User(username=name, **values)
    users.save(made)
    return made


def policy_form(policy: Policy, *targets: dict[str, str], **values: object) -> dict[str, object]:
    """Return the form data for the policy, with these targets after its own."""
    form: dict[str, object] = {
        "owner": policy.owner_id,
        **{name: getattr(policy, name) for name in (*fields.RANGES, *fields.CHOICES)},
        "retention_timezone": policy.retention_timezone,
        "name": policy.name,
        "account": policy.account_id,
        "enabled": "on",
        **values,
    }
    stored = list(policy.targets.order_by("pk")) if policy.pk else []
    rows = [target_form(target) for target in stored] + list(targets)
    for number, row in enumerate(rows):
        form |= {f"targets-{number}-{name}": value for name, value in row.items()}
    return form | {
        "targets-TOTAL_FORMS": len(rows),
        "targets-INITIAL_FORMS": len(stored),
        "targets-MIN_NUM_FORMS": 0,
        "targets-MAX_NUM_FORMS": 1000,
    }


def schedule_form(owner: User, **values: object) -> dict[str, object]:
    """Return the form data for a schedule."""
    empty = dict.fromkeys(schedules.COLUMNS, "")
    form = {"name": "nightly", "cron": "0 2 * * *", "timezone": "Europe/Berlin"}
    return {**empty, "owner": owner.pk, **form, **values}


def schedule(owner: User, name: str = "nightly", **columns: object) -> Schedule:
    """Save a schedule, with cron unless the columns say otherwise."""
    made = Schedule(**{"owner": owner, "name": name, "cron": "0 2 * * *", **columns})
    schedules.save(made)
    return made


def act(client: Client, page: str, action: str, *rows: Model) -> list[str]:
    """Select the rows in the list and run the action; return the messages on the page."""
    form = {"action": action, "_selected_action": [row.pk for row in rows]}
    response = client.post(f"/admin/policies/{page}/", form, follow=True)
    assert response.status_code == 200
    return [str(message) for message in response.context["messages"]]


def target_form(target: PolicyTarget) -> dict[str, str]:
    return {
        "id": str(target.pk),
        "policy": str(target.policy_id),
        "instance_id": target.instance_id,
        "volume_id": target.volume_id,
        "region": target.region,
        "exclude_volume_ids": " ".join(target.exclude_volume_ids),
    }


def url(row: Model, page: str = "change") -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/{page}/"


def errors(content: bytes) -> list[str]:
    found = re.findall(r'<ul class="errorlist[^>]*>(.*?)</ul>', content.decode(), re.DOTALL)
    return [re.sub(r"<[^>]+>", "", each).strip() for each in found]
