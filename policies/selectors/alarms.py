"""What the alarms' page shows: whom a person lets be told, what was sent, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db.models import Prefetch, Q, QuerySet

from n2wbackup.lib import clock, keyset, row_keys
from policies.domain.alarms import messages, quiet
from policies.models import Alarm, AlarmDelivery, AlarmMute, AlarmReceivers
from scripts_admin import permissions
from scripts_admin.models import User

MOST_RECEIVERS = 100
_Alarms = QuerySet[Alarm]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the list is narrowed to; empty: not at all, but without pings."""

    kind: str = ""
    policy: str = ""
    pings: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """One message on its way to one address, and what became of it."""

    shown: str
    state: str
    at: datetime | None
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One alarm. `waits` says why nobody has it yet."""

    at: datetime
    kind: str
    label: str
    title: str
    count: int
    run: str
    waits: str
    until: datetime | None
    sent: Sequence[Sent]


class Page(NamedTuple):
    """Some alarms, and the tokens for components/steps.html; empty where there are no more."""

    rows: list[Row]
    before: str
    after: str


def receivers_of(person: User) -> list[AlarmReceivers]:
    """Return the person's own receivers, and those of their policies; not all that a superuser may see."""
    rows = AlarmReceivers.objects.filter(Q(user=person) | Q(policy__owner=person))
    rows = rows.select_related("user", "policy__owner").order_by("-user", "policy__name")
    return list(rows[:MOST_RECEIVERS])


class Muted(NamedTuple):
    """A mute, and whether the person may end it."""

    mute: AlarmMute
    may_change: bool


def mutes(person: User) -> list[Muted]:
    """Return the mutes that hold now, the one that ends first first."""
    now = clock.now()
    rows = AlarmMute.objects.filter(until__gt=now, until__lte=now + quiet.LONGEST_MUTE + clock.SKEW)
    rows = permissions.visible(rows, person).select_related("policy__owner")
    found = rows.order_by("until")[:MOST_RECEIVERS]
    return [Muted(each, permissions.may_change(person, each)) for each in found]


def page(person: User, asked: Asked, size: int, *, after: str = "", before: str = "") -> Page:
    """Return the alarms after a token, or those before one; without a token, or with a wrong one, the newest."""
    rows, parts = _listed(person, asked), permissions.parts(Alarm, person)
    end, start = _key(before), _key(after)
    if end is not None:
        newer = rows.filter(pk__gt=end).order_by("pk")
        found = keyset.first(newer, ["pk"], size + 1, parts)
        shown = found[:size][::-1]
        if len(shown) == size:
            earlier = str(shown[0].pk) if len(found) > size else ""
            return Page([_row(each) for each in shown], earlier, str(shown[-1].pk))
        start = None  # a first page that is not full would move with each new alarm
    older = rows if start is None else rows.filter(pk__lt=start)
    found = keyset.first(older.order_by("-pk"), ["-pk"], size + 1, parts)
    shown = found[:size]
    return Page(
        [_row(each) for each in shown],
        str(shown[0].pk) if shown and start is not None else "",
        str(shown[-1].pk) if len(found) > size else "",
    )


def _listed(person: User, asked: Asked) -> _Alarms:
    rows = Alarm.objects.visible_to(person)
    if asked.kind:
        rows = rows.filter(kind=asked.kind)
    elif not asked.pings:
        rows = rows.exclude(kind__in=messages.PINGS)
    if asked.policy:
        owner, _, name = asked.policy.partition("/")
        rows = rows.filter(policy__owner__username=owner, policy__name=name)
    sent = AlarmDelivery.objects.defer("url").order_by("pk")
    if not permissions.sees_everything(person):
        # Superusers get the alarm of a freeze, too. Where they get it is theirs.
        own = Q(receivers__user=person) | Q(receivers__policy__owner=person)
        sent = sent.filter(own | Q(receivers=None, shown="?"))
    return rows.select_related("policy__mute").prefetch_related(Prefetch("deliveries", sent))


def _key(token: str) -> int | None:
    return int(token) if row_keys.is_key(token) else None


def _row(found: Alarm) -> Row:
    waits, until = _waits(found)
    return Row(
        at=found.created_at,
        kind=found.kind,
        label=found.label,
        title=str(found),
        count=found.count,
        run=str(found.run_id or ""),
        waits=waits,
        until=until,
        sent=[_sent(each) for each in found.deliveries.all()],
    )


def _waits(found: Alarm) -> tuple[str, datetime | None]:
    """Return why the alarm waits, and until when."""
    if found.spread_at is not None:
        return "", None
    mute, now = getattr(found.policy, "mute", None), clock.now()
    if mute is not None and quiet.is_muted(mute.until, now):
        return "muted", mute.until
    return ("not again so soon", found.not_before) if found.not_before > now else ("due", None)


def _sent(found: AlarmDelivery) -> Sent:
    held = found.held_until is not None and found.held_until > clock.now()
    is_quiet = held and found.state == AlarmDelivery.State.PENDING
    return Sent(
        shown=found.shown,
        state="quiet hours" if is_quiet else found.state,
        at=found.held_until if is_quiet else found.ended_at,
        attempts=found.attempts,
        reason=found.reason,
    )
