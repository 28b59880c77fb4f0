"""Whether SSM reaches an account's instances: looked at when somebody asks, then each hour; never in a page request.

Only a look that somebody asked for runs a command on instances, and only on those of the account's policies: to see
where their agents keep their files. A look that fails changes nothing and is told.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from n2wbackup.lib import clock, each, outages
from policies.adapters import session
from policies.domain import agents as rules
from policies.domain.errors import BackupError, NotPermittedError
from policies.models import Account, PolicyTarget, SsmInstance, SsmPlace
from policies.ports import Agents, Instance, ManagedInstance
from policies.services.coverage import claims, freezing
from policies.services.coverage.reading import tags_of
from policies.services.entry import audited, iam
from policies.services.window import credentials
from scripts_admin.domain.audit import Action
from scripts_admin.runners import ssm

EVERY = timedelta(hours=1)
SLOWEST = timedelta(days=1)  # between two tries of a place that fails
CLAIM = timedelta(minutes=5)
TICK_SECONDS = 5.0
PROBE_SECONDS = 20.0  # for the answers of all instances of a place together: a claim is longer
_PROBE_PAUSE_SECONDS = 0.5
_COMMENT = "n2wbackup: where the agent keeps its files"
_AT_ONCE = 500
_COLUMNS = (
    *("name", "state", "ping", "pinged_at", "platform_type", "platform", "agent_version"),
    *("has_profile", "role", "policies", "role_problem", "freezes"),
)
_PROFILES = 50  # of one look; each costs two calls


@dataclass(slots=True)
class _Role:
    name: str = ""
    policies: tuple[str, ...] = ()
    problem: str = ""


@dataclass(slots=True)
class _Folders:
    """By instance, what the probe has printed; and why it could not be sent."""

    found: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    problem: str = ""


def look(account: Account) -> None:
    """Have the account's regions looked at by the next tick, and from then on each hour.

    What was asked for and is not seen yet is not asked for again: impatience runs no second look beside the first.
    """
    asked = {"next_at": clock.now(), "is_asked": True}
    with transaction.atomic():
        for region in iam.regions(account):
            SsmPlace.objects.get_or_create(account=account, region=region, defaults=asked)
        SsmPlace.objects.filter(account=account, is_asked=False).update(**asked)
        audited.enter(Action.ASKED, account)


def tick() -> int:
    """Look at the places that are due, for as long as the tick may take; return how many."""
    until, done = clock.boottime() + TICK_SECONDS, 0
    while clock.boottime() < until:
        place = _claim()
        if place is None:
            break
        done += each.apart([place], _refresh, "SSM in %s could not be looked at")
    return done


def _refresh(place: SsmPlace) -> bool:
    """Look at a place; after a defect of ours it is not looked at again as soon as the claim runs out."""
    try:
        return refresh(place)
    except outages.AWAY:
        raise
    except Exception as error:
        _fail(place, f"The look itself failed ({outages.named(error)}): see the server's log.")
        raise


def _claim() -> SsmPlace | None:
    return claims.take(SsmPlace, lasts=CLAIM, slowest=SLOWEST)


def refresh(place: SsmPlace) -> bool:
    """Ask AWS and enter what it says; False if the claim ran out or somebody has asked again meanwhile.

    A region that the account is not used in any more is forgotten.
    """
    if place.region not in iam.regions(place.account):
        place.delete()
        return False
    try:
        credentials.refuse_withdrawn(place.account)
        keys = credentials.of(place.account)
        instances = session.cloud(keys).all_instances(place.region)
        agents = session.agents(keys)
        managed = agents.managed(place.region)
    except BackupError as error:
        return _fail(place, str(error))
    roles = _roles(agents, instances, place.region)
    frozen = freezing.of(place.account, place.region)
    folders = _probed(place, managed) if place.is_asked else _Folders()
    with transaction.atomic():
        now = clock.now()
        changes: dict[str, object] = {
            "seen_at": now,
            "problem": "",
            "failures": 0,
            "is_asked": False,
        }
        if place.is_asked:
            changes["probe_problem"] = folders.problem
        if not claims.settle(place, now + EVERY, **changes):
            return False
        _enter(place, _rows(place, instances, managed, roles, frozen), folders, now)
    return True


def _fail(place: SsmPlace, problem: str) -> bool:
    """Enter why a look has failed: the pause to the next one grows, and who asked has to ask again."""
    again_at = claims.again_at(place, EVERY, SLOWEST)
    failures = place.failures + 1
    return claims.settle(place, again_at, problem=problem, failures=failures, is_asked=False)


def _roles(agents: Agents, instances: Iterable[Instance], region: str) -> dict[str, _Role]:
    """Return the role of each profile; one that IAM does not tell of has a problem instead."""
    found: dict[str, _Role] = {}
    denied = ""
    for arn in dict.fromkeys(filter(None, map(_profile, instances))):
        if denied or len(found) >= _PROFILES:
            found[arn] = _Role(
                problem=denied or "It was not looked at, as there are too many roles."
            )
            continue
        try:
            found[arn] = _Role(*agents.role_of(arn, region))
        except NotPermittedError as error:
            denied = str(error)
            found[arn] = _Role(problem=denied)
        except BackupError as error:
            found[arn] = _Role(problem=str(error))
    return found


def _profile(instance: Instance) -> str:
    return str((instance.answer.get("IamInstanceProfile") or {}).get("Arn", ""))


def _probed(place: SsmPlace, managed: Mapping[str, ManagedInstance]) -> _Folders:
    """Run the probe on the policies' instances that can be reached; wait for the answers, but not for long."""
    targets = PolicyTarget.objects.filter(policy__account=place.account, region=place.region)
    wanted = [
        each
        for each in sorted(set(targets.values_list("instance_id", flat=True)))
        if each in managed
        and managed[each].ping == rules.ONLINE
        and managed[each].platform_type == rules.LINUX
    ]
    commands = session.commands(credentials.of(place.account), place.region)
    folders, sent = _Folders(), []
    for start in range(0, len(wanted), ssm.AT_ONCE):
        some = wanted[start : start + ssm.AT_ONCE]
        try:
            sent.append((commands.send(some, rules.PROBE, _COMMENT), len(some)))
        except (ssm.NotSentError, ssm.AnswerLostError, BackupError) as error:
            folders.problem = str(error)
    until = time.monotonic() + PROBE_SECONDS
    for command_id, number in sent:
        try:
            folders.found |= _answers(commands, command_id, number, until)
        except (ssm.NotSentError, ssm.AnswerLostError, BackupError) as error:
            folders.problem = str(error)
    return folders


def _answers(
    commands: ssm.Client, command_id: str, number: int, until: float
) -> dict[str, list[tuple[str, str]]]:
    while True:
        ended = [row for row in commands.look([command_id]) if row.status in ssm.ENDED]
        if len(ended) == number or time.monotonic() >= until:
            return {row.instance_id: rules.folders(row.text) for row in ended}
        time.sleep(_PROBE_PAUSE_SECONDS)


def _rows(
    place: SsmPlace,
    instances: Iterable[Instance],
    managed: Mapping[str, ManagedInstance],
    roles: Mapping[str, _Role],
    frozen: freezing.Freezes,
) -> list[SsmInstance]:
    return [
        SsmInstance(
            place=place,
            instance_id=instance.instance_id,
            name=tags_of(instance.answer).get("Name", ""),
            state=instance.state[:32],
            **_of_agent(managed.get(instance.instance_id)),
            **_of_role(_profile(instance), roles),
            freezes=frozen.get(instance.instance_id, []),
        )
        for instance in instances
    ]


def _enter(place: SsmPlace, rows: list[SsmInstance], folders: _Folders, now: datetime) -> None:
    SsmInstance.objects.bulk_create(
        rows,
        batch_size=_AT_ONCE,
        update_conflicts=True,
        unique_fields=["place", "instance_id"],
        update_fields=_COLUMNS,
    )
    known = SsmInstance.objects.filter(place=place)
    for instance_id, found in folders.found.items():
        if found:
            known.filter(instance_id=instance_id).update(folders=found, folders_at=now)
    there = {row.instance_id for row in rows}
    gone = [
        key
        for key, instance_id in known.values_list("pk", "instance_id")
        if instance_id not in there
    ]
    for start in range(0, len(gone), _AT_ONCE):
        SsmInstance.objects.filter(pk__in=gone[start : start + _AT_ONCE]).delete()


def _of_role(profile: str, roles: Mapping[str, _Role]) -> dict[str, Any]:
    role = roles.get(profile, _Role())
    return {
        "has_profile": bool(profile),
        "role": role.name[:128],
        "policies": list(role.policies),
        "role_problem": role.problem,
    }


def _of_agent(agent: ManagedInstance | None) -> dict[str, Any]:
    if agent is None:
        return {}
    return {
        "ping": agent.ping[:32],
        "pinged_at": agent.pinged_at,
        "platform_type": agent.platform_type[:32],
        "platform": agent.platform,
        "agent_version": agent.agent_version[:32],
    }
