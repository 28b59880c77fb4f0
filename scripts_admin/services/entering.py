"""How a person gets in for the first time: the link of an empty server, and the link of an invitation.

Either is one use: of two at the same time, one wins. Whoever has one chooses a password, so it is shown once and
kept as a digest, or not at all.
"""

import hashlib
import logging
import secrets

from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import transaction

from n2wbackup.lib import clock, row_keys
from scripts_admin.domain.audit import Action
from scripts_admin.models import FirstLink, User
from scripts_admin.services import audit, sessions, single_sign_on, users

log = logging.getLogger(__name__)


class LinkError(Exception):
    """The link was used, has ended or never was one."""


class _Invitations(PasswordResetTokenGenerator):
    """Signed with SECRET_KEY over the user's password, so it ends with it; PASSWORD_RESET_TIMEOUT is its age."""

    key_salt = "scripts_admin.services.entering"


_invitations = _Invitations()


def first_link() -> str:
    """Return the word of a new link for the first superuser, in place of an earlier one; "" if there is a user."""
    if User.objects.exists():
        return ""
    word = secrets.token_urlsafe(32)
    with transaction.atomic():
        FirstLink.objects.all().delete()
        FirstLink.objects.create(digest=_digest(word), made_at=clock.now())
    return word


def is_first_link(word: str) -> bool:
    return FirstLink.objects.filter(digest=_digest(word)).exists() and not User.objects.exists()


@transaction.atomic
def make_first(word: str, person: User, password: str) -> None:
    """Make the person a superuser with this password; LinkError or ValidationError, and nothing is changed."""
    # The row goes first: of two who come at the same time, the second one finds none.
    taken, _ = FirstLink.objects.filter(digest=_digest(word)).delete()
    if not taken or User.objects.exists():
        raise LinkError
    person.is_staff = person.is_superuser = True
    person.set_password(password)
    users.save(person)
    log.info("%s became the first superuser by the link of the server's console", person.username)


@transaction.atomic
def invite(person: User, actor: User) -> str:
    """Save the person, who can log in only after choosing a password; return the word of their link."""
    person.set_unusable_password()
    with audit.done_by(actor):
        users.save(person)
        audit.record(Action.INVITED, audit.of_user(person))
    log.info("%s invited %s", actor.username, person.username)
    return _word(person)


@transaction.atomic
def renew(person: User, actor: User) -> str:
    """Return the word of a new link. The earlier link, the password, the OpenID link and the sessions end."""
    person.set_unusable_password()
    with audit.done_by(actor):
        users.save(person)
    single_sign_on.unlink(person, by=actor)
    sessions.end_all(person)
    log.info("%s made a link for a new password of %s", actor.username, person.username)
    return _word(person)


def invited(word: str) -> User:
    """Return the person whom the link lets choose a password; LinkError if it lets nobody."""
    key, _, token = word.partition(".")
    person = User.objects.filter(pk=key, is_active=True).first() if row_keys.is_key(key) else None
    if person is None or not _invitations.check_token(person, token):
        raise LinkError
    return person


@transaction.atomic
def accept(word: str, password: str) -> User:
    """Set the password of the person whom the link is for; LinkError, and nothing is changed, if it is none."""
    person = invited(word)
    person = User.objects.select_for_update().get(pk=person.pk)
    if not _invitations.check_token(person, word.partition(".")[2]):  # somebody else was first
        raise LinkError
    person.set_password(password)
    users.save(person)
    log.info("%s chose a password by the link of an invitation", person.username)
    return person


def _word(person: User) -> str:
    return f"{person.pk}.{_invitations.make_token(person)}"


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()
