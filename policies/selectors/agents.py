"""Whether SSM reaches an account's instances, as its page shows it. Nothing here asks AWS."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, IntegerField, QuerySet, Value, When

from policies.domain import agents as rules
from policies.domain.agents import Facts, Lack
from policies.models import Account, SsmInstance, SsmPlace


@dataclass(frozen=True, slots=True)
class Row:
    """One instance: what its agent and its role are, and what it lacks."""

    instance_id: str
    name: str
    region: str
    kind: str  # the colour of a state that operators know from runs
    word: str
    pinged_at: datetime | None
    platform: str
    agent_version: str
    role: str
    role_problem: str
    lacks: tuple[Lack, ...]
    folders: tuple[tuple[str, str], ...]
    mounts: tuple[str, ...]
    folders_at: datetime | None


def places(account: Account) -> list[SsmPlace]:
    """Return the regions that are looked at."""
    return list(SsmPlace.objects.filter(account=account))


def instances(account: Account) -> QuerySet[SsmInstance]:
    """Return the account's instances: those that SSM does not reach first."""
    reached = Case(
        When(ping=rules.ONLINE, then=Value(1)), default=Value(0), output_field=IntegerField()
    )
    rows = SsmInstance.objects.filter(place__account=account).select_related("place")
    return rows.annotate(reached=reached).order_by("reached", "place__region", "instance_id")


def row(instance: SsmInstance) -> Row:
    """Return what the page shows of an instance."""
    folders = tuple((str(folder), str(mount)) for folder, mount in instance.folders)
    facts = Facts(
        instance_id=instance.instance_id,
        region=instance.place.region,
        state=instance.state,
        ping=instance.ping,
        pinged_at=instance.pinged_at,
        platform_type=instance.platform_type,
        agent_version=instance.agent_version,
        has_profile=instance.has_profile,
        role=instance.role,
        policies=instance.policies,
        role_problem=instance.role_problem,
        folders=folders,
        freezes=tuple((str(file), str(path)) for file, path in instance.freezes),
    )
    lacks = tuple(rules.lacks(facts))
    kind, word = _word(instance, is_ready=not lacks)
    return Row(
        instance.instance_id,
        instance.name,
        instance.place.region,
        kind,
        word,
        instance.pinged_at,
        instance.platform or instance.platform_type,
        instance.agent_version,
        instance.role,
        instance.role_problem,
        lacks,
        folders,
        tuple(rules.mounts(folders)),
        instance.folders_at,
    )


def _word(instance: SsmInstance, *, is_ready: bool) -> tuple[str, str]:
    if is_ready:
        return "succeeded", "ready"
    if instance.ping == rules.ONLINE:
        return "waiting", "online, not ready"
    return ("failed", "connection lost") if instance.ping else ("missed", "no agent")
