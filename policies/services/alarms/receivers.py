"""Receivers of alarms: the only place with the rules for alarm URLs and ping URLs, and who gets which alarm.

Admin forms and `apply` both use it. URLs contain secrets: no sentence, page or log shows one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from n2wbackup.lib.encrypted import DecryptionError
from policies.adapters import post
from policies.domain.alarms import addresses, messages, quiet
from policies.domain.alarms.messages import AlarmKind
from policies.domain.alarms.quiet import QuietHours
from policies.domain.errors import InputError
from policies.models import Alarm, AlarmDelivery, AlarmReceivers, Policy
from policies.selectors import labels
from scripts_admin.domain.audit import SECRET, Action, Change, Kind, difference
from scripts_admin.models import User
from scripts_admin.services import audit
from scripts_admin.services.audit import Subject

NOBODY = "none"  # the input that removes all URLs
_TRIAL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Tried:
    """The result of a test message to one URL; an empty problem means that the receiver took it."""

    shown: str
    problem: str


def of(*, user: User | None = None, policy: Policy | None = None) -> AlarmReceivers:
    """Return the user's or the policy's receivers, new ones if there are none; saves and decrypts nothing."""
    rows = AlarmReceivers.objects.defer("urls", "ping_url")
    owner = Q(user=user) if user is not None else Q(policy=policy)
    known = (user or policy) is not None and (user or policy).pk  # type: ignore[union-attr]
    found = rows.filter(owner).first() if known else None
    return found or AlarmReceivers(user=user, policy=policy)


def entered(**columns: str) -> dict[str, str]:
    """Return the columns to change: an empty input keeps a column as it is, `none` empties it."""
    said = {column: text.strip() for column, text in columns.items() if text.strip()}
    return {column: "" if text == NOBODY else text for column, text in said.items()}


def check(entered: Mapping[str, str]) -> None:
    """Raise ValidationError, by column (`urls`, `ping_url`), if alarms or pings cannot be sent there."""
    wrong: dict[str, list[str]] = {}
    if "urls" in entered:
        wrong["urls"] = _url_mistakes(addresses.split(entered["urls"]))
    if "ping_url" in entered:
        wrong["ping_url"] = [addresses.ping_mistake(entered["ping_url"])]
    found = {column: list(filter(None, sentences)) for column, sentences in wrong.items()}
    if any(found.values()):
        raise ValidationError({column: said for column, said in found.items() if said})


def save(found: AlarmReceivers, entered: Mapping[str, str]) -> list[str]:
    """Save the entered columns; return those that changed. The caller has called `check`."""
    wanted = dict(entered)
    if "urls" in wanted:
        wanted["urls"] = "\n".join(addresses.split(wanted["urls"]))
    if (
        found.pk
    ):  # a column under a lost key cannot be read: if one is entered again, the other is emptied
        lost = {name for name in ("urls", "ping_url") if _stored(found, name) is None}
        wanted = dict.fromkeys(lost if entered else (), "") | wanted
    changed = [name for name, value in wanted.items() if value != _stored(found, name)]
    if changed:
        for name in changed:
            setattr(found, name, wanted[name])
        found.has_ping = bool(wanted.get("ping_url", found.has_ping))
        with transaction.atomic():
            found.save(update_fields=[*changed, "has_ping"] if found.pk else None)
            _enter(
                found, [Change(name, "", SECRET if wanted[name] else NOBODY) for name in changed]
            )
    return changed


def _enter(found: AlarmReceivers, changes: list[Change]) -> None:
    audit.record(Action.CHANGED, _subject(found), changes)


def _subject(found: AlarmReceivers) -> Subject:
    owner = found.policy.owner_id if found.policy else found.user_id
    return audit.subject(Kind.RECEIVERS, found, str(found), owner)


def quiet_hours(found: AlarmReceivers) -> QuietHours | None:
    """Return the row's quiet hours; None if it has none, or if this machine does not understand them any more."""
    if not found.quiet_times:
        return None
    try:
        return QuietHours(quiet.parse(found.quiet_times), ZoneInfo(found.quiet_timezone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def check_quiet(lines: Sequence[str], zone: str) -> list[str]:
    """Return the quiet times as they are stored; ValidationError, by column, if they are none."""
    wrong, times = {}, []
    try:
        times = [str(each) for each in dict.fromkeys(quiet.parse(lines))]
    except ValueError as error:
        wrong["quiet_times"] = str(error)
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        wrong["quiet_timezone"] = (
            f"{zone[:64]!r} is not a time zone: write one such as Europe/Berlin."
        )
    if wrong:
        raise ValidationError(wrong)
    return times


@transaction.atomic
def set_quiet(found: AlarmReceivers, lines: Sequence[str], zone: str) -> bool:
    """Save the quiet hours; False if nothing changed. What is held back now is looked at again."""
    times = check_quiet(lines, zone)
    before = {"quiet hours": found.quiet_times, "time zone": found.quiet_timezone}
    after = {"quiet hours": times, "time zone": zone}
    changes = difference(before, after)
    if not changes or not (found.pk or times):
        return False
    found.quiet_times, found.quiet_timezone = times, zone
    found.save(update_fields=["quiet_times", "quiet_timezone"] if found.pk else None)
    AlarmDelivery.objects.filter(receivers=found, ended_at=None).update(held_until=None)
    _enter(found, changes)
    return True


@transaction.atomic
def enter(
    found: AlarmReceivers, entered: Mapping[str, str], lines: Sequence[str], zone: str
) -> None:
    """Save URLs and quiet hours together, as one deed. The caller has called `check`."""
    with audit.together():
        save(found, entered)
        set_quiet(found, lines, zone)


@transaction.atomic
def remove(found: AlarmReceivers) -> None:
    """Delete the row; messages on their way still go out."""
    audit.record(Action.DELETED, _subject(found))
    AlarmReceivers.objects.filter(pk=found.pk).delete()


def shown(found: AlarmReceivers) -> list[str]:
    """Return schema and masked host of each URL, the ping URL last."""
    try:
        urls, ping = addresses.split(found.urls), found.ping_url
    except DecryptionError:
        return ["cannot be decrypted: enter the URLs again"]
    words = [addresses.masked(url) for url in urls]
    return [*words, *([f"ping {addresses.masked(ping)}"] if ping else [])]


def concerned(kind: AlarmKind, policy_id: int | None, owner_id: int | None) -> list[AlarmReceivers]:
    """Return the receivers of an alarm: the policy's, its owner's, and for 'may be frozen' all superusers'.

    For a ping, only the policy's.
    """
    who = Q(user=owner_id, user__isnull=False, user__is_active=True)
    if policy_id is not None:
        who |= Q(policy=policy_id)
    if kind in messages.PINGS:
        who = Q(policy=policy_id, has_ping=True, policy__isnull=False)
    elif kind == AlarmKind.MAY_BE_FROZEN:
        who |= Q(user__is_superuser=True, user__is_active=True)
    # Superusers first: if receivers are served one by one, no tenant's receiver delays them.
    rows = AlarmReceivers.objects.filter(who).order_by("-user__is_superuser", "pk")
    return list(rows.defer("urls", "ping_url"))


def try_out(label: str, found: Sequence[AlarmReceivers]) -> list[Tried]:
    """Send one test message now to each URL, in their order. InputError if there is no URL. The audit is told."""
    readable, lost = _readable(found, "urls")
    urls = list(dict.fromkeys(url for each in readable for url in _urls(each)))
    if not urls and lost:
        raise InputError(f"{label}: {lost[0]}")
    if not urls:
        raise InputError(
            f"{label} has no alarm URLs: enter them in the admin pages, or with alarm_urls_env in the document "
            "of apply."
        )
    message = messages.trial(label)
    letters = [post.Letter(n, url, message.title, message.text) for n, url in enumerate(urls)]
    for each in readable:
        audit.record(Action.TESTED, _subject(each))
    problems = post.carry(letters, _TRIAL_SECONDS)
    tried = [Tried(addresses.masked(letter.url), problems[letter.id]) for letter in letters]
    return tried + [Tried("?", sentence) for sentence in lost]


def of_label(label: str) -> tuple[str, list[AlarmReceivers]]:
    """Return the receivers of the alarms of the policy "owner/policy", or those of the user "owner"."""
    owner, slash, _ = label.partition("/")
    user = labels.user(owner)
    if not slash:
        return label, [each for each in [of(user=user)] if each.pk]
    policy = labels.policy(label)
    return label, concerned(AlarmKind.FAILED, policy.pk, user.pk)


def targets(alarm: Alarm) -> tuple[list[tuple[AlarmReceivers, str]], list[str]]:
    """Return each URL that gets the alarm, once, with its receivers.

    And a sentence for each receivers' row whose URLs cannot be decrypted; all others still get the alarm.
    """
    is_ping = alarm.kind in messages.PINGS
    kind = AlarmKind.MAY_BE_FROZEN if ends_a_freeze(alarm) else AlarmKind(alarm.kind)
    everybody = concerned(kind, alarm.policy_id, alarm.owner_id)
    readable, lost = _readable(everybody, "ping_url" if is_ping else "urls")
    found: dict[str, AlarmReceivers] = {}
    for each in readable:
        if is_ping:
            found[addresses.ping(each.ping_url, messages.PING_PATHS[AlarmKind(alarm.kind)])] = each
        else:
            for url in _urls(each):
                found.setdefault(url, each)
    return [(each, url) for url, each in found.items()], lost


def ends_a_freeze(alarm: Alarm) -> bool:
    """Tell whether it ends a 'may be frozen' alarm: everyone who got the alarm gets the recovery."""
    if alarm.kind != AlarmKind.RECOVERED or alarm.policy_id is None:
        return False
    kinds = messages.newest_of(AlarmKind.RECOVERED)
    earlier = Alarm.objects.filter(policy=alarm.policy_id, kind__in=kinds, pk__lt=alarm.pk)
    return earlier.order_by("-pk").values_list("kind", flat=True).first() == AlarmKind.MAY_BE_FROZEN


def groups(policy: Policy) -> tuple[list[list[str]], list[str]]:
    """Return the URLs of each receiver of the policy's 'may be frozen' alarm; lost ones as in `targets`."""
    readable, lost = _readable(
        concerned(AlarmKind.MAY_BE_FROZEN, policy.pk, policy.owner_id), "urls"
    )
    return [urls for urls in map(_urls, readable) if urls], lost


def _readable(
    found: Sequence[AlarmReceivers], column: str
) -> tuple[list[AlarmReceivers], list[str]]:
    """Return the rows whose column can be decrypted, and a sentence for each of the others."""
    readable, lost = [], []
    for each in found:
        try:
            getattr(each, column)
        except DecryptionError as error:
            lost.append(str(error))
        else:
            readable.append(each)
    return readable, lost


def _urls(found: AlarmReceivers) -> list[str]:
    return addresses.split(found.urls)


def _stored(found: AlarmReceivers, name: str) -> str | None:
    try:
        return str(getattr(found, name))
    except DecryptionError:
        return None  # unknown, so an input always counts as a change


def _url_mistakes(urls: list[str]) -> list[str]:
    wrong = addresses.mistakes(urls)
    if wrong:
        return wrong
    answers = post.check(urls)
    return [f"URL {number}: {problem}" for number, problem in enumerate(answers, 1) if problem]
