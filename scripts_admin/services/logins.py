"""The brake on logins: whoever guesses passwords waits longer and longer."""

import hashlib
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from ipaddress import ip_address

from django.db import transaction

from n2wbackup.lib import clock
from scripts_admin.domain import brake
from scripts_admin.domain.audit import Action, Kind
from scripts_admin.models import FailedLogins, User
from scripts_admin.services import audit
from scripts_admin.services.audit import Subject

log = logging.getLogger(__name__)


def begin(name: str, address: str) -> int:
    """Count the try as a failure, before the password is checked; 0 if it may go on.

    Otherwise return the seconds to wait, and count nothing. Tries at the same time are counted one after the other,
    so many of them get no further than a few.
    """
    return _begin(list(_counters(name, address)))


def begin_code(name: str) -> int:
    """Do the same for a code of the second factor, from wherever it comes: who gets here has the password.

    The right password forgives no wrong code, else a guesser would log in anew after every fourth one.
    """
    return _begin([_of_codes(name)])


@transaction.atomic
def _begin(counters: list[tuple[str, int]]) -> int:
    now = clock.now()
    FailedLogins.objects.filter(
        last_at__lt=now - timedelta(seconds=brake.FORGOTTEN_SECONDS)
    ).delete()
    rows = [(_locked(key, now), free) for key, free in counters]
    wait = max(_left(row, free, now) for row, free in rows)
    if not wait:
        for row, _ in rows:
            row.failures += 1
            row.last_at = now
            row.save()
    return wait


def succeeded(name: str, address: str) -> None:
    """Forget the failures of this name from this address: the password was right."""
    key, _ = next(_counters(name, address))
    FailedLogins.objects.filter(key=key).delete()


def entered(person: User) -> None:
    """Enter the login in the audit: the person is in, after the second step where there is one."""
    audit.record(Action.LOGGED_IN, audit.of_user(person), person=person)


def refused(name: str, address: str, reason: str) -> None:
    """Log a failed login, and enter it in the audit. The brake bounds how many there can be."""
    note_failure(name, address, reason)
    known = User.objects.filter(username=name).first()
    of = audit.of_user(known) if known else Subject(Kind.USER, audit.NOBODY)
    audit.record(Action.LOGIN_REFUSED, of, name=audit.NOBODY, reason=reason)


def code_succeeded(name: str) -> None:
    """Forget the wrong codes of this name."""
    FailedLogins.objects.filter(key=_of_codes(name)[0]).delete()


def sentence(wait: int) -> str:
    return f"There were too many failed logins. Try again in {wait} second{'s' * (wait != 1)}."


def note_failure(name: str, address: str, reason: str) -> None:
    """Log a failed login. A name that is no user's may be a password, and is not logged."""
    known = User.objects.filter(username=name).exists()
    who = name if known else "an unknown user"
    log.warning("login of %s from %s failed: %s", who, address, reason)


def _counters(name: str, address: str) -> Iterator[tuple[str, int]]:
    yield _digest(address, name), brake.FREE_FOR_A_NAME
    # Without a trusted proxy everybody comes from this machine: one guesser must not lock all others out.
    if not _is_this_machine(address):
        yield _digest(address), brake.FREE_FOR_AN_ADDRESS


def _of_codes(name: str) -> tuple[str, int]:
    return _digest("second factor", "", name), brake.FREE_FOR_A_NAME


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _is_this_machine(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return True


def _locked(key: str, now: datetime) -> FailedLogins:
    FailedLogins.objects.get_or_create(key=key, defaults={"last_at": now})
    return FailedLogins.objects.select_for_update().get(key=key)


def _left(row: FailedLogins, free: int, now: datetime) -> int:
    if row.last_at > now + clock.SKEW:  # from before the clock was set back
        return 0
    due = row.last_at + timedelta(seconds=brake.seconds(row.failures, free))
    return max(0, round((due - now).total_seconds()))
