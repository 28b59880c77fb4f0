"""What no enabled policy backs up, what people left out on purpose, and what the inventory was told.

Nothing here reads runs: an instance or volume is looked up among the targets, by its id.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import (
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    TextField,
    Value,
)
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Concat

from policies.domain import enrolment
from policies.models import EnrolRule, InventoryItem, InventoryPlace, LeftOut, PolicyTarget
from scripts_admin.models import User

INSTANCE, VOLUME = InventoryItem.Kind.INSTANCE, InventoryItem.Kind.VOLUME
TAGS_SHOWN = 6
COUNTED = 2_000  # more take too long to be looked up for each dashboard


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; empty: not at all. `tag` is KEY or KEY=VALUE, `account` OWNER/NAME."""

    account: str = ""
    region: str = ""
    what: str = ""
    tag: str = ""
    q: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One instance or volume as a list shows it."""

    id: int
    kind: str
    resource_id: str
    name: str
    account: str
    region: str
    type: str
    size_gib: int
    state: str
    instance_id: str
    first_seen_at: datetime
    tags: tuple[tuple[str, str], ...]
    more_tags: int


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that was left out on purpose."""

    id: int
    resource_id: str
    name: str
    account: str
    region: str
    reason: str
    by: str
    at: datetime
    is_gone: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of tag enrolment; `problem` says why it does less than it promises."""

    id: int
    account: str
    what: str
    tag: str
    value: str
    policy: str
    owner: str
    policy_name: str
    enrolled: int
    problem: str


@dataclass(frozen=True, slots=True)
class Looks:
    """The places that a person's accounts look at; `failing` with what AWS said, `oldest` of those that answered."""

    number: int
    waiting: int
    oldest: datetime | None
    failing: list[InventoryPlace] = field(default_factory=list)


def uncovered_count(person: User) -> int:
    """Return how many instances and volumes the person sees that no enabled policy backs up.

    Whoever sees more than COUNTED instances and volumes gets the sum of what was counted at the last looks.
    """
    there = InventoryItem.objects.visible_to(person).filter(gone_at__isnull=True)
    if not there.order_by()[COUNTED : COUNTED + 1].exists():
        return uncovered(person).count()
    places = InventoryPlace.objects.visible_to(person)
    return int(places.aggregate(sum=Sum("uncovered", default=0))["sum"])


def uncovered_of(place: InventoryPlace) -> int:
    """Return the same of one account and region, for its owner."""
    rows = uncovered(place.account.owner)
    return rows.filter(account=place.account_id, region=place.region).count()


def uncovered(person: User, filters: Filters | None = None) -> QuerySet[InventoryItem]:
    """Return what no enabled policy backs up and nobody left out, the largest first, then the longest known.

    A policy with an instance as target backs up its attached volumes without those that it excludes, and a volume
    as target that volume. An instance has nothing to back up but volumes: it is here if a volume of it is open.
    What several accounts of the person see in one AWS account is here once.
    """
    there = InventoryItem.objects.visible_to(person).filter(gone_at__isnull=True)
    rows = _narrowed(there, filters or Filters())
    instances = Q(kind=INSTANCE) & Exists(_open_volumes())
    volumes = Q(kind=VOLUME) & ~_is_on_a_target()
    rows = rows.filter(~_is_target(), instances | volumes)
    rows = rows.filter(~_is_left_out("resource_id"), ~_is_left_out("instance_id"))
    rows = rows.filter(~_is_listed_before(person))
    return rows.order_by("-size_gib", "first_seen_at", "pk")


def _is_listed_before(person: User) -> Exists:
    there = InventoryItem.objects.visible_to(person).filter(gone_at__isnull=True)
    there = there.filter(pk__lt=OuterRef("pk"), resource_id=OuterRef("resource_id"))
    return Exists(there.filter(_in_the_same_aws_account("account"), region=OuterRef("region")))


def _in_the_same_aws_account(path: str) -> Q:
    """Return the condition that the row's account leads into the outer row's AWS account, whichever row that is."""
    number = f"{path}__aws_account_id"
    same = ~Q(**{number: ""}) & Q(**{number: OuterRef("account__aws_account_id")})
    return Q(**{path: OuterRef("account")}) | same


def _open_volumes() -> QuerySet[InventoryItem]:
    """Return the volumes of the outer instance, which is no target, that nothing else backs up or leaves out."""
    attached = InventoryItem.objects.filter(
        account=OuterRef("account"),
        region=OuterRef("region"),
        instance_id=OuterRef("resource_id"),
        gone_at__isnull=True,
    )
    return attached.filter(~_is_target()).filter(~_is_left_out("resource_id"))


def _enabled() -> QuerySet[PolicyTarget]:
    """Return targets of enabled policies in the outer row's region and AWS account."""
    same = _in_the_same_aws_account("policy__account")
    return PolicyTarget.objects.filter(same, region=OuterRef("region"), policy__enabled=True)


def _is_target() -> Exists:
    return Exists(_enabled().filter(resource_id=OuterRef("resource_id")))


def _is_on_a_target() -> Q:
    """Tell whether the outer volume is attached to a target that does not exclude it."""
    name = Concat(Value('"'), OuterRef("resource_id"), Value('"'))
    on = _enabled().filter(resource_id=OuterRef("instance_id"))
    on = on.alias(excluded=Cast("exclude_volume_ids", TextField())).exclude(excluded__contains=name)
    with_boot = on.filter(exclude_boot_volume=False)
    return Q(is_boot=False) & Q(Exists(on)) | Q(is_boot=True) & Q(Exists(with_boot))


def _is_left_out(column: str) -> Exists:
    """Tell whether the owner left it out, through whichever of their accounts; another owner's decision counts not."""
    rows = LeftOut.objects.filter(resource_id=OuterRef(column), region=OuterRef("region"))
    own = rows.filter(account__owner=OuterRef("account__owner"))
    return Exists(own.filter(_in_the_same_aws_account("account")))


def _narrowed(rows: QuerySet[InventoryItem], filters: Filters) -> QuerySet[InventoryItem]:
    if filters.account:
        owner, _, name = filters.account.partition("/")
        rows = rows.filter(account__owner__username=owner, account__name=name)
    if filters.region:
        rows = rows.filter(region=filters.region)
    if filters.what in set(enrolment.What):
        rows = rows.filter(kind=filters.what.removesuffix("s"))
    if filters.tag:
        key, equals, value = filters.tag.partition("=")
        rows = rows.alias(tag=Cast(KeyTextTransform(key, "tags"), TextField()))
        rows = rows.filter(tag=value) if equals else rows.filter(tag__isnull=False)
    if filters.q:
        rows = rows.filter(
            Q(name__icontains=filters.q) | Q(resource_id=filters.q) | Q(instance_id=filters.q)
        )
    return rows


def shown(rows: QuerySet[InventoryItem]) -> QuerySet[InventoryItem]:
    """Return the rows with what `item` reads, in the same query."""
    return rows.select_related("account__owner").defer("account__secret_access_key")


def item(row: InventoryItem) -> Item:
    tags = sorted(pair for pair in row.tags.items() if pair[0] != "Name")
    return Item(
        id=row.pk,
        kind=row.kind,
        resource_id=row.resource_id,
        name=row.name,
        account=f"{row.account.owner.username}/{row.account.name}",
        region=row.region,
        type=row.type,
        size_gib=row.size_gib,
        state=row.state,
        instance_id=row.instance_id,
        first_seen_at=row.first_seen_at,
        tags=tuple(tags[:TAGS_SHOWN]),
        more_tags=max(len(tags) - TAGS_SHOWN, 0),
    )


def left_out(person: User) -> QuerySet[LeftOut]:
    """Return the person's decisions to leave something out, the newest first."""
    rows = LeftOut.objects.visible_to(person).select_related("account__owner")
    return rows.defer("account__secret_access_key").order_by("-at", "-pk")


def decisions(rows: list[LeftOut]) -> list[Decision]:
    """Return these decisions with the names of what they leave out, read in one query."""
    known = {
        (found.account_id, found.region, found.resource_id): found
        for found in InventoryItem.objects.filter(
            account__in={row.account_id for row in rows},
            region__in={row.region for row in rows},
            resource_id__in={row.resource_id for row in rows},
        )
    }
    return [
        _decision(row, known.get((row.account_id, row.region, row.resource_id))) for row in rows
    ]


def _decision(row: LeftOut, found: InventoryItem | None) -> Decision:
    return Decision(
        id=row.pk,
        resource_id=row.resource_id,
        name=found.name if found else "",
        account=f"{row.account.owner.username}/{row.account.name}",
        region=row.region,
        reason=row.reason,
        by=row.by,
        at=row.at,
        is_gone=found is None or found.gone_at is not None,
    )


def rules(person: User) -> QuerySet[EnrolRule]:
    """Return the rules of the person's accounts, by account and policy."""
    rows = EnrolRule.objects.visible_to(person).select_related("account__owner", "policy__owner")
    rows = rows.defer("account__secret_access_key")
    return rows.order_by("account__owner__username", "account__name", "policy__name", "pk")


def rule(row: EnrolRule, enrolled: Mapping[int, int]) -> Rule:
    return Rule(
        id=row.pk,
        account=f"{row.account.owner.username}/{row.account.name}",
        what=row.what,
        tag=row.tag,
        value=row.value,
        policy=row.policy.label,
        owner=row.policy.owner.username,
        policy_name=row.policy.name,
        enrolled=enrolled.get(row.pk, 0),
        problem=_why_less(row),
    )


def _why_less(row: EnrolRule) -> str:
    if row.policy.account_id != row.account_id:
        return (
            f"The policy {row.policy.name} now uses another account, so this rule does nothing: remove the rule, "
            "or give the policy this account."
        )
    left = sum(row.left_over.values())
    return f"{left} more bear the tag and found no room in the policy." if left else ""


def enrolled(rows: list[EnrolRule]) -> dict[int, int]:
    """Return how many targets each of these rules enrolled."""
    found = PolicyTarget.objects.filter(rule__in=rows).values_list("rule", flat=True)
    counts: dict[int, int] = {}
    for key in found:
        counts[key or 0] = counts.get(key or 0, 0) + 1
    return counts


def looks(person: User) -> Looks:
    """Return when the person's places were last seen, and which of them AWS refuses."""
    rows = InventoryPlace.objects.visible_to(person)
    seen = rows.filter(seen_at__isnull=False).order_by(F("seen_at").asc())
    failing = rows.filter(failed_since__isnull=False).select_related("account__owner")
    return Looks(
        number=rows.count(),
        waiting=rows.filter(seen_at=None, failed_since=None).count(),
        oldest=seen.values_list("seen_at", flat=True).first(),
        failing=list(failing.defer("account__secret_access_key").order_by("failed_since")[:20]),
    )


def regions(person: User) -> list[str]:
    """Return the regions that the person's accounts look at."""
    rows = InventoryPlace.objects.visible_to(person).order_by("region")
    return list(rows.values_list("region", flat=True).distinct())
