"""Write the rows as the document that creates them: `export | apply` changes nothing.

It has no secrets, and no values that the server itself made (external ids, learned account numbers).
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from policies.domain.document import fields
from policies.domain.schedules import disabled
from policies.models import Account, AlarmReceivers, EnrolRule, Policy, PolicyTarget, Schedule
from policies.services.document import copies, grants, layout, sharings
from scripts_admin import permissions
from scripts_admin.models import Folder, User
from scripts_admin.permissions import Share

HEAD = """\
# Users, accounts, schedules and policies of this server, for manage.py apply.
# It has no passwords and no secret access keys. For a server without them, add password_env to users and
# secret_access_key_env to accounts, and set the variables that they name where apply runs. Do the same with
# alarm_urls_env of users and policies and with ping_url_env of policies, as these URLs have secrets in them.
"""
Mapping = dict[str, Any]


def export() -> str:
    """Return the document as YAML; rows are sorted by owner and name."""
    people = list(User.objects.order_by("username"))
    granted = grants.exported(people)
    of_users, of_policies = _quiet("user"), _quiet("policy")
    owners = dict(Folder.objects.exclude(owner=None).values_list("pk", "owner"))
    folders = {
        owners[key]: found for key, found in permissions.all_shares(Folder).items() if key in owners
    }
    document: Mapping = {
        "users": [
            _user(row, granted[row.pk], of_users.get(row.pk, {}))
            | _shared("folder_shared_with", folders, row.pk)
            for row in people
        ],
        "accounts": [
            _account(row)
            for row in _owned(
                Account.objects.defer("secret_access_key").prefetch_related("enrol_rules__policy")
            )
        ],
        "schedules": [_schedule(row) for row in _owned(Schedule.objects.all())],
        "policies": _policies(of_policies),
    }
    return HEAD + layout.yaml({kind: rows for kind, rows in document.items() if rows})


def _owned(rows: Any) -> Iterable[Any]:  # noqa: ANN401 - querysets of several models
    found: Iterable[Any] = rows.select_related("owner").order_by("owner__username", "name")
    return found


def _quiet(column: str) -> dict[int, Mapping]:
    """Return the quiet hours of receivers by the key of their user or policy."""
    rows = AlarmReceivers.objects.exclude(quiet_times=[]).exclude(**{column: None})
    found = rows.values_list(column, "quiet_times", "quiet_timezone")
    return {
        key: {"quiet_hours": [_disabled(line) for line in lines], "quiet_timezone": zone}
        for key, lines, zone in found
    }


def _user(row: User, granted: Mapping, quiet: Mapping) -> Mapping:
    said = {"name": row.username, "email": row.email}
    return _without_empty(said) | {
        "superuser": row.is_superuser,
        "active": row.is_active,
        **granted,
        **quiet,
    }


def _account(row: Account) -> Mapping:
    said = {"owner": row.owner.username, "name": row.name, "auth": row.auth}
    way_in = {"access_key_id": row.access_key_id, "role_arn": row.role_arn}
    where = {"regions": list(row.regions), "enrol": [_rule(r) for r in row.enrol_rules.all()]}
    return {**said, **_without_empty(way_in), "region": row.region, **_without_empty(where)}


def _rule(row: EnrolRule) -> Mapping:
    said = {"what": row.what, "tag": row.tag, "value": row.value, "policy": row.policy.name}
    return _without_empty(said)


def _schedule(row: Schedule) -> Mapping:
    every = {row.every_unit: row.every_number} if row.every_unit else None
    said = {
        "cron": row.cron,
        "every": every,
        "starting": row.starting,
        "ending": row.ending,
        "timezone": row.timezone,
        "disabled": [_disabled(line) for line in row.disabled],
    }
    return {"owner": row.owner.username, "name": row.name, **_without_empty(said)}


def _disabled(line: str) -> Mapping:
    time = disabled.parse(line)
    return {
        "days": [disabled.DAYS[day] for day in sorted(time.days)],
        "from": disabled.clock(time.begins),
        "to": disabled.clock(time.ends),
    }


def _policies(quiet: dict[int, Mapping]) -> list[Mapping]:
    """Return all policies. A row beside each, for names that many share, would be half of the time."""
    owners = dict(User.objects.values_list("pk", "username"))
    accounts = dict(Account.objects.values_list("pk", "name"))
    schedules: defaultdict[int, list[str]] = defaultdict(list)
    followed = Policy.schedules.through.objects.order_by()
    for policy, name in followed.values_list("policy", "schedule__name"):
        schedules[policy].append(name)
    shared = permissions.all_shares(Policy)
    rows = Policy.objects.order_by("owner__username", "name").prefetch_related(
        "targets", "copy_rules__account"
    )
    return [
        _policy(row, owners[row.owner_id], accounts[row.account_id], sorted(schedules[row.pk]))
        | quiet.get(row.pk, {})
        | _shared("shared_with", shared, row.pk)
        for row in rows
    ]


def _shared(key: str, shares: dict[int, list[Share]], of: int) -> Mapping:
    return {key: sharings.exported(shares[of])} if of in shares else {}


def _policy(row: Policy, owner: str, account: str, schedules: list[str]) -> Mapping:
    said = fields.values(fields.POLICY, row)
    enabled, scripts = said.pop("enabled"), said.pop("scripts")
    return {
        "owner": owner,
        "name": row.name,
        "account": account,
        "enabled": enabled,
        "schedules": schedules,
        **said,
        **copies.exported(row),
        "targets": [_target(target) for target in sorted(row.targets.all(), key=lambda t: t.pk)],
        "scripts": scripts,
    }


def _target(row: PolicyTarget) -> Mapping:
    said = fields.target(row)
    if not row.remote:
        del said["remote"]
    enrolled = {"enrolled": True} if row.rule_id else {}
    if row.volume_id:
        return {"volume": said["volume"], "region": said["region"], **enrolled}
    del said["volume"]
    return said | enrolled


def _without_empty(said: Mapping) -> Mapping:
    return {key: value for key, value in said.items() if value}
