"""Muting: a person holds the alarms of a policy back for a time, with a reason. A freeze is told all the same."""

from datetime import UTC, datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from n2wbackup.lib import clock
from policies.domain.alarms import quiet
from policies.domain.alarms.messages import AlarmKind
from policies.models import AlarmMute, Policy
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.services import audit

MAX_REASON = 500
# A recovery waits, too, but not if it ends a freeze: rows do not say that, see `holding.mutes_recovery`.
_WAITING = [kind for kind in AlarmKind if quiet.may_wait(kind) and kind != AlarmKind.RECOVERED]


def of(policy: Policy) -> AlarmMute | None:
    """Return the mute that holds now; None if there is none, or if it has ended."""
    found = AlarmMute.objects.filter(policy=policy).first()
    return found if found and quiet.is_muted(found.until, clock.now()) else None


def holds(now: datetime) -> Q:
    """Match the alarms that wait because their policy is muted; never one that says something may be frozen."""
    latest = now + quiet.LONGEST_MUTE + clock.SKEW
    return Q(kind__in=_WAITING, policy__mute__until__gt=now, policy__mute__until__lte=latest)


@transaction.atomic
def mute(policy: Policy, *, until: datetime, reason: str, by: str) -> AlarmMute:
    """Hold the policy's alarms back until then; ValidationError, by field, if that cannot be.

    A second mute takes the place of the first.
    """
    now, reason = clock.now(), reason.strip()
    wrong = {}
    if not now < until <= now + quiet.LONGEST_MUTE:
        days = quiet.LONGEST_MUTE.days
        wrong["until"] = f"A mute ends in the future, at most {days} days from now: correct it."
    if not reason:
        wrong["reason"] = "Say why, for the colleague who wonders about the silence."
    elif len(reason) > MAX_REASON:
        wrong["reason"] = f"This is too long: write at most {MAX_REASON} characters."
    if wrong:
        raise ValidationError(wrong)
    values = {"begun_at": now, "until": until, "reason": reason, "by": by[:150]}
    made, _ = AlarmMute.objects.update_or_create(policy=policy, defaults=values)
    of = audit.subject(Kind.POLICY, policy, policy.label)
    audit.record(Action.MUTED, of, [Change("until", "", _words(until))], reason=reason)
    return made


@transaction.atomic
def unmute(policy: Policy) -> bool:
    """End the mute now; False if none holds. What was held back goes out."""
    found = AlarmMute.objects.select_for_update().filter(policy=policy).first()
    now = clock.now()
    if found is None or not quiet.is_muted(found.until, now):
        return False
    before, found.until = found.until, now
    found.save(update_fields=["until"])
    of = audit.subject(Kind.POLICY, policy, policy.label)
    audit.record(Action.UNMUTED, of, [Change("until", _words(before), "")])
    return True


def _words(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M UTC}"
