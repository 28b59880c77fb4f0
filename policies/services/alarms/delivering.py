"""Sending from the outbox: claim a message by compare-and-set, send it, try again, and at last give up.

A message is sent at least once, unless it is given up. The watchdog does this in threads of its own,
without broker. If two watchdogs run at the same time, exactly one of them claims each message.
"""

import logging
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack
from uuid import UUID

from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, When
from django.db.models.functions import Coalesce

from n2wbackup.lib import clock, each, home
from n2wbackup.lib.cas import compare_and_set
from n2wbackup.lib.encrypted import DecryptionError
from policies.adapters import post
from policies.domain.alarms import addresses, messages
from policies.domain.alarms.messages import AlarmKind
from policies.models import Alarm, AlarmDelivery, Server
from policies.services.alarms import holding, muting, receivers

log = logging.getLogger(__name__)

# After this, the process that claimed a message is dead: a courier is killed long before.
CLAIM = timedelta(seconds=post.DEADLINE_SECONDS * 2 + 30)
TOGETHER = addresses.MOST * 2
SUPERSEDED = "a newer message took its place"
_PENDING = AlarmDelivery.State.PENDING
# What has not ended is what the index of those that are due has.
_OPEN: Mapping[str, Any] = {"state": _PENDING, "ended_at": None}
_URGENT = Q(alarm__kind=AlarmKind.MAY_BE_FROZEN)
_OWNER = Coalesce("receivers__user_id", "receivers__policy__owner_id", "alarm__owner_id", 0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages to the receivers of one user or policy; no other process sends them now."""

    receivers: int | None
    owner: int  # the user who owns the receivers or their policy; 0 if all are deleted
    deliveries: Sequence[AlarmDelivery]
    urgent: bool


class Known(TypedDict, total=False):
    """What was sent without the database, and is not sent twice: the runs of these messages."""

    frozen: Collection[UUID]  # 'may be frozen'
    thawed: Collection[UUID]
    waiting: Collection[UUID]  # either is being sent that way at this moment


def spread(**known: Unpack[Known]) -> int:
    """Create a delivery for each receiver of each due alarm; return the number of alarms."""
    now = clock.now()
    if not Alarm.objects.filter(spread_at=None).exists():
        return 0  # as in nearly every second: what follows takes many times as long, only to be written
    due = Alarm.objects.filter(_is_due(now), spread_at=None).order_by("not_before", "pk")
    # The server that has the window may have sent these already, from the spool.
    elsewhere = Server.objects.filter(gone_at=None, stopped_at=None, removed_at=None)
    others = elsewhere.exclude(pk=home.server_id()).values_list("pk", flat=True)
    due = due.exclude(kind__in=messages.FREEZE, run__server__in=others)
    due = due.exclude(muting.holds(now))
    waiting = known.get("waiting")
    if waiting:
        due = due.exclude(kind__in=messages.FREEZE, run__in=waiting)
    rows = due.values_list("pk", flat=True)
    trouble = "alarm %s could not be prepared for sending"
    sent = {
        AlarmKind.MAY_BE_FROZEN: known.get("frozen", ()),
        AlarmKind.RECOVERED: known.get("thawed", ()),
    }
    return each.apart(list(rows), lambda key: _spread(key, sent, now), trouble)


def _is_due(now: datetime) -> Q:
    """Match the alarms that are due, and those from before the clock was set back."""
    return Q(not_before__lte=now) | Q(created_at__gt=now + clock.SKEW)


@transaction.atomic
def _spread(key: int, sent: Mapping[AlarmKind, Collection[UUID]], now: datetime) -> bool:
    row = Alarm.objects.filter(pk=key)
    if holding.mutes_recovery(row.first(), now):
        return False
    if not compare_and_set(row, {"spread_at": None}, spread_at=now):
        return False
    alarm = row.get()
    if alarm.run_id in sent.get(AlarmKind(alarm.kind), ()):
        return True
    targets, lost = receivers.targets(alarm)
    for sentence in lost:
        # Stored as a delivery that was given up, so that the pages show why a receiver got nothing.
        _refuse(alarm, sentence, now)
        log.error("%s: the alarm cannot be sent to one of its receivers: %s", alarm, sentence)
    for found, url in targets:
        AlarmDelivery.objects.create(
            alarm=alarm,
            receivers=found,
            url=url,
            shown=addresses.masked(url)[:80],
            next_at=now,
        )
    return True


def _refuse(alarm: Alarm, reason: str, now: datetime) -> None:
    AlarmDelivery.objects.create(
        alarm=alarm,
        shown="?",
        state=AlarmDelivery.State.GIVEN_UP,
        next_at=now,
        reason=reason,
        ended_at=now,
    )


def claim(
    busy: Collection[int | None] = (),
    *,
    owners: Collection[int] = (),
    urgent_owners: Collection[int] = (),
    only_urgent: bool = False,
) -> Batch | None:
    """Claim the due messages of one receiver; None if nothing is due.

    'May be frozen' alarms come first, also to a receiver that is `busy`, but none of `urgent_owners`.
    Other messages go only to a receiver that is not `busy`, and none of `owners`.
    """
    if not AlarmDelivery.objects.filter(**_OPEN).exists():
        return None  # as in `spread`
    now = clock.now()
    due = _due(now).annotate(owner=_OWNER)
    urgent = _URGENT & ~Q(owner__in=urgent_owners)
    rest = ~_URGENT & _free(busy) & ~Q(owner__in=owners)
    rows = due.filter(urgent if only_urgent else urgent | rest)
    # A receiver that failed before may hang again, so the others come first.
    order = (Case(When(_URGENT, then=0), default=1), "attempts", "next_at", "pk")
    first = rows.order_by(*order).first()
    if first is None:
        return None
    is_urgent = first.alarm.kind == AlarmKind.MAY_BE_FROZEN
    same = due.filter(_URGENT if is_urgent else ~_URGENT, receivers=first.receivers_id)
    same = same.order_by("next_at", "pk")
    found = [
        delivery
        for delivery in same[:TOGETHER]
        if not _waits(delivery, now) and not holding.hold(delivery, now)
    ]
    taken = [delivery for delivery in found if _take(delivery, now)]
    taken = [delivery for delivery in taken if not _is_overtaken(delivery, now)]
    return Batch(first.receivers_id, first.owner, taken, is_urgent)


def _due(now: datetime) -> QuerySet[AlarmDelivery]:
    put_back = Q(claimed_until__gt=now + CLAIM + clock.SKEW)
    unclaimed = Q(claimed_until=None) | Q(claimed_until__lte=now) | put_back
    is_time = Q(next_at__lte=now) | _is_far_ahead(now)
    rows = AlarmDelivery.objects.filter(unclaimed, is_time, holding.is_over(now), **_OPEN)
    rows = rows.select_related("alarm", "receivers")
    return rows.defer("url", "receivers__urls", "receivers__ping_url")


def _is_far_ahead(now: datetime) -> Q:
    """Match the messages that wait longer than their pause: the clock was set back since."""
    found = Q(attempts=0, next_at__gt=now + clock.SKEW)
    for attempts in range(1, len(messages.PAUSES)):
        pause = messages.pause(attempts)
        found |= Q(attempts=attempts, next_at__gt=now + pause + clock.SKEW)
    longest = messages.PAUSES[-1]
    return found | Q(attempts__gte=len(messages.PAUSES), next_at__gt=now + longest + clock.SKEW)


def _free(busy: Collection[int | None]) -> Q:
    """Match the deliveries whose receiver is not busy; all deleted receivers count as one."""
    known = Q(receivers__isnull=False) & ~Q(receivers__in=[key for key in busy if key is not None])
    return known if None in busy else known | Q(receivers=None)


def _waits(delivery: AlarmDelivery, now: datetime) -> bool:
    """Tell whether it would overtake a message in progress. A 'may be frozen' alarm waits for nothing."""
    kind = AlarmKind(delivery.alarm.kind)
    kinds = messages.newest_of(kind)
    if kind == AlarmKind.MAY_BE_FROZEN or not kinds:
        return False
    on_its_way = AlarmDelivery.objects.filter(
        receivers=delivery.receivers_id,
        alarm__policy=delivery.alarm.policy_id,
        alarm__kind__in=kinds,
        claimed_until__gt=now,
        **_OPEN,
    )
    return on_its_way.exclude(alarm=delivery.alarm_id).exists()


def _is_overtaken(delivery: AlarmDelivery, now: datetime) -> bool:
    """End the delivery, and return True, if a newer message says what is true now.

    Only for a delivery that is claimed.
    """
    if not _newer(delivery).exists() and not holding.is_over_since(delivery):
        return False
    _end(delivery, AlarmDelivery.State.GIVEN_UP, SUPERSEDED, now)
    return True


def _newer(delivery: AlarmDelivery) -> QuerySet[Alarm]:
    """Return the later alarms on the same matter, the newest first."""
    alarm = delivery.alarm
    kinds = messages.newest_of(AlarmKind(alarm.kind))
    if alarm.policy_id is None or not kinds:
        return Alarm.objects.none()
    same = Alarm.objects.filter(policy=alarm.policy_id, kind__in=kinds, pk__gt=alarm.pk)
    return same.exclude(spread_at=None).order_by("-pk")


def _take(delivery: AlarmDelivery, now: datetime) -> bool:
    seen = {"state": _PENDING, "claimed_until": delivery.claimed_until}
    until = now + CLAIM
    same = AlarmDelivery.objects.filter(pk=delivery.pk)
    if not compare_and_set(same, seen, claimed_until=until, attempts=F("attempts") + 1):
        return False
    delivery.claimed_until, delivery.attempts = until, delivery.attempts + 1
    return True


def send(batch: Batch) -> None:
    """Send the claimed messages, and enter their results."""
    letters = {}
    for delivery in batch.deliveries:
        try:
            letters[delivery.pk] = _letter(delivery)
        except DecryptionError as error:
            _end(delivery, AlarmDelivery.State.GIVEN_UP, str(error), clock.now())
    together = holding.together(
        [(each, letters[each.pk]) for each in batch.deliveries if each.pk in letters]
    )
    carried = post.carry([letter for letter, _ in together])
    problems = {key: carried[letter.id] for letter, keys in together for key in keys}
    now = clock.now()
    for delivery in batch.deliveries:
        if delivery.pk in letters:
            _enter(delivery, problems[delivery.pk], now)


def _letter(delivery: AlarmDelivery) -> post.Letter:
    alarm, url = delivery.alarm, delivery.url
    if alarm.kind in messages.PINGS:
        return post.Letter(delivery.pk, url)
    text = messages.counted(alarm.text, alarm.count, alarm.created_at)
    return post.Letter(delivery.pk, url, alarm.title, signed(text))


def signed(text: str) -> str:
    """Return the text with the name of the machine that sends it."""
    return f"{text}\nSent by n2wbackup on {socket.gethostname()}."


def _enter(delivery: AlarmDelivery, problem: str, now: datetime) -> None:
    kind = AlarmKind(delivery.alarm.kind)
    if not problem:
        _repeat_freeze(delivery, now)
        _end(delivery, AlarmDelivery.State.SENT, "", now)
    elif now - holding.since(delivery, now) >= messages.patience(kind):
        _end(delivery, AlarmDelivery.State.GIVEN_UP, problem, now)
        log.error("%s: given up, %s: %s", delivery.alarm, delivery.shown, problem)
    else:
        log.warning("%s: not sent yet, %s: %s", delivery.alarm, delivery.shown, problem)
        compare_and_set(
            AlarmDelivery.objects.filter(pk=delivery.pk),
            {"state": _PENDING, "claimed_until": delivery.claimed_until},
            claimed_until=None,
            next_at=now + messages.pause(delivery.attempts),
            reason=problem,
        )


def _repeat_freeze(delivery: AlarmDelivery, now: datetime) -> None:
    """Send a 'may be frozen' alarm again that was sent during this recovery: the recovery may come last."""
    newest = _newer(delivery).first() if delivery.alarm.kind == AlarmKind.RECOVERED else None
    if newest is not None and newest.kind == AlarmKind.MAY_BE_FROZEN:
        AlarmDelivery.objects.create(
            alarm=newest,
            receivers=delivery.receivers,
            url=delivery.url,
            shown=delivery.shown,
            next_at=now,
        )


def _end(delivery: AlarmDelivery, state: str, reason: str, now: datetime) -> None:
    compare_and_set(
        AlarmDelivery.objects.filter(pk=delivery.pk),
        {"state": _PENDING, "claimed_until": delivery.claimed_until},
        state=state,
        reason=reason,
        url=None,
        claimed_until=None,
        ended_at=now,
    )


def send_all() -> int:
    """Send all due messages, one receiver after the other; return how many were tried."""
    spread()
    tried, busy = 0, set[int | None]()
    while (batch := claim(busy)) is not None:
        if not batch.urgent:
            busy.add(batch.receivers)
        send(batch)
        tried += len(batch.deliveries)
    return tried


def told() -> set[UUID]:
    """Return the runs whose 'may be frozen' alarm was tried once at every receiver, or is held back."""
    rows = Alarm.objects.filter(
        kind=AlarmKind.MAY_BE_FROZEN,
        created_at__gte=clock.now() - messages.patience(AlarmKind.MAY_BE_FROZEN),
    )
    untried = AlarmDelivery.objects.filter(alarm__in=rows, attempts=0, **_OPEN)
    open_ones = (_is_due(clock.now()) & Q(spread_at=None)) | Q(pk__in=untried.values("alarm"))
    found = rows.exclude(open_ones).exclude(run=None).values_list("run", flat=True)
    return set(found)
