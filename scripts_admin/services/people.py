"""What superusers do with other people's logins. Each deed has a log line with who did it."""

import logging

from allauth.mfa.models import Authenticator
from django.db import transaction

from scripts_admin.domain.audit import SECRET, Action, Change, Kind
from scripts_admin.models import User
from scripts_admin.services import audit, sessions, users
from scripts_admin.services.audit import Subject

log = logging.getLogger(__name__)


class NotPossibleError(Exception):
    """The deed would leave nobody who could undo it; the text says why."""


@transaction.atomic
def deactivate(person: User, actor: User) -> None:
    """Let the person in no more, and end their sessions. What they own stays.

    Their policies start as before, without their scripts; what needs a right of theirs fails.
    """
    person = _locked(person)
    if person.pk == actor.pk:
        raise NotPossibleError("You cannot deactivate yourself: ask another superuser.")
    person.is_active = False
    with audit.done_by(actor):
        users.save(person)
    log.info("%s deactivated %s", actor.username, person.username)


@transaction.atomic
def reactivate(person: User, actor: User) -> None:
    """Let the person in again, with the password and second factor that they had."""
    person = _locked(person)
    person.is_active = True
    with audit.done_by(actor):
        users.save(person)
    log.info("%s reactivated %s", actor.username, person.username)


@transaction.atomic
def set_rights(person: User, actor: User, *, staff: bool, superuser: bool) -> None:
    """Make the person a superuser or a user of the admin pages, or no longer one."""
    person = _locked(person)
    if person.pk == actor.pk and not superuser:
        raise NotPossibleError(
            "You cannot take the rights of a superuser from yourself: ask another superuser."
        )
    person.is_staff, person.is_superuser = staff, superuser
    with audit.done_by(actor):
        users.save(person)
    log.info(
        "%s set the rights of %s: staff %s, superuser %s",
        actor.username, person.username, staff, superuser,
    )  # fmt: skip


@transaction.atomic
def reset_second_factor(person: User, actor: User) -> int:
    """Remove the person's apps, passkeys and recovery codes, and end their sessions; return how many there were."""
    count, _ = Authenticator.objects.filter(user_id=person.pk).delete()
    sessions.end_all(person)
    gone = Change("second factor", SECRET, "")
    audit.record(Action.CHANGED, audit.of_user(person), [gone], person=actor)
    log.warning("%s reset the second factor of %s", actor.username, person.username)
    return int(count)


@transaction.atomic
def end_sessions(person: User, actor: User) -> int:
    """Log the person out everywhere; return how many sessions ended."""
    count = sessions.end_all(person)
    ended = Subject(Kind.SESSION, f"{count} of {person.username}", owner_id=person.pk)
    audit.record(Action.REMOVED, ended, person=actor)
    log.info("%s ended the sessions of %s", actor.username, person.username)
    return count


def _locked(person: User) -> User:
    return User.objects.select_for_update().get(pk=person.pk)
