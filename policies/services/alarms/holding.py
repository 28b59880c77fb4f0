"""What is held back, and for how long: by a receiver's quiet hours, or because a policy is muted.

A muted policy's alarms stay in the outbox and count up there, as those that would come too often do. A message for a
receiver that is quiet waits as a delivery. Both are looked at each time anew, so nothing has to end them. What is held
back goes out together, and without what is over by then.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q

from n2wbackup.lib import clock
from n2wbackup.lib.cas import compare_and_set
from policies.adapters import post
from policies.domain.alarms import messages, quiet
from policies.domain.alarms.messages import AlarmKind
from policies.models import Alarm, AlarmDelivery, AlarmMute
from policies.services.alarms import receivers

_Letters = Sequence[tuple[AlarmDelivery, post.Letter]]


def mutes_recovery(alarm: Alarm | None, now: datetime) -> bool:
    """Tell whether the alarm is a recovery that waits because its policy is muted."""
    if alarm is None or alarm.kind != AlarmKind.RECOVERED:
        return False
    mute = AlarmMute.objects.filter(policy=alarm.policy_id).first()
    return (
        mute is not None and quiet.is_muted(mute.until, now) and not receivers.ends_a_freeze(alarm)
    )


def is_over(now: datetime) -> Q:
    """Match the deliveries that no quiet hours hold back, as far as their rows say."""
    too_long = now + quiet.LONGEST_QUIET + clock.SKEW  # from before the clock was set back
    return Q(held_until=None) | Q(held_until__lte=now) | Q(held_until__gt=too_long)


def hold(delivery: AlarmDelivery, now: datetime) -> bool:
    """Hold a due delivery back if its receiver is quiet now; tell whether it is held back."""
    kind, whose = AlarmKind(delivery.alarm.kind), delivery.receivers
    hours = receivers.quiet_hours(whose) if whose and quiet.may_wait(kind) else None
    if hours is None or not hours.holds(now):
        return False
    until = quiet.held_until(
        kind, now, quiet=hours, ends_a_freeze=receivers.ends_a_freeze(delivery.alarm)
    )
    if until is None:
        return False
    same = AlarmDelivery.objects.filter(pk=delivery.pk)
    seen = {"state": AlarmDelivery.State.PENDING, "claimed_until": delivery.claimed_until}
    compare_and_set(same, seen, held_until=until)
    return True


def is_over_since(delivery: AlarmDelivery) -> bool:
    """Tell whether the trouble that a held delivery reports has ended by now; the recovery says so."""
    alarm = delivery.alarm
    if delivery.held_until is None or alarm.policy_id is None or alarm.kind not in messages.TROUBLE:
        return False
    later = Alarm.objects.filter(policy=alarm.policy_id, pk__gt=alarm.pk, spread_at__isnull=False)
    recoveries = later.filter(kind=AlarmKind.RECOVERED)
    return any(not receivers.ends_a_freeze(each) for each in recoveries)


def since(delivery: AlarmDelivery, now: datetime) -> datetime:
    """Return the time from which a message that nobody accepts is tried: being held back is no try."""
    alarm = delivery.alarm
    ends = [alarm.not_before]
    if delivery.held_until is not None:
        ends.append(delivery.held_until)
    if alarm.policy_id is not None and alarm.kind not in messages.PINGS:
        ends += AlarmMute.objects.filter(policy=alarm.policy_id).values_list("until", flat=True)
    return max(end for end in ends if end <= now or end == alarm.not_before)


def together(letters: _Letters) -> list[tuple[post.Letter, list[int]]]:
    """Return the letters to send, each with the deliveries that it settles: what was held back becomes one."""
    held: dict[str, list[tuple[AlarmDelivery, post.Letter]]] = {}
    found = []
    for delivery, letter in letters:
        if delivery.held_until is None:
            found.append((letter, [delivery.pk]))
        else:
            held.setdefault(letter.url, []).append((delivery, letter))
    for same in held.values():
        first = same[0][1]
        if len(same) > 1:
            told = [(each.alarm.created_at, each.alarm.title) for each, _ in same]
            message = messages.held_back(told)
            first = post.Letter(first.id, first.url, message.title, message.text)
        found.append((first, [each.pk for each, _ in same]))
    return found
