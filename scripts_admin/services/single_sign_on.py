"""Who is linked to which person of the OpenID provider. Each link is made by its person, or by an invitation."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.db import IntegrityError, transaction

from scripts_admin.domain.audit import SECRET, Action, Change
from scripts_admin.models import User
from scripts_admin.services import audit

log = logging.getLogger(__name__)
_FIELD = "single sign-on"
_WHOLE_SECONDS = 5  # times in tokens are rounded, each by whoever wrote it


class LinkRefusedError(Exception):
    """Nothing was linked; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What the provider says: its key, its word for the person, and their address if it has verified that."""

    provider: str
    subject: str
    verified_email: str


def check_shown(token: Mapping[str, Any], seconds: float) -> None:
    """Check that the person showed the provider who they are in so many seconds before now; else LinkRefusedError.

    Only the provider's clock is asked: how long before it wrote the token it had asked the person.
    """
    name = settings.N2W_OIDC_NAME
    shown, written = (token.get(each) for each in ("auth_time", "iat"))
    if not (_is_moment(shown) and _is_moment(written)):
        raise LinkRefusedError(
            f"Nothing was confirmed: {name} does not say when you last showed who you are (auth_time). Ask a superuser "
            "for a link, and choose a password."
        )
    allowed = min(seconds, settings.ACCOUNT_REAUTHENTICATION_TIMEOUT) + _WHOLE_SECONDS
    if not -_WHOLE_SECONDS <= written - shown <= allowed:
        raise LinkRefusedError(
            f"Nothing was confirmed: {name} did not ask who you are, but took your earlier login there. Log out there, "
            "and confirm again; or ask a superuser for a link, and choose a password."
        )


def _is_moment(said: object) -> TypeGuard[float]:
    return isinstance(said, int | float) and not isinstance(said, bool)


def is_linked(person: User) -> bool:
    """Tell whether the person can come by the provider that is set now."""
    if not settings.N2W_OIDC:
        return False
    return bool(
        SocialAccount.objects.filter(user_id=person.pk, provider=settings.N2W_OIDC).exists()
    )


@transaction.atomic
def link(person: User, claims: Claims) -> None:
    """Link the person to whom the provider has just shown; LinkRefusedError if that is somebody else's here."""
    person = User.objects.select_for_update().get(pk=person.pk)
    held = SocialAccount.objects.filter(provider=claims.provider, uid=claims.subject).first()
    if held is not None and held.user_id == person.pk:
        return
    if held is not None:
        raise LinkRefusedError(
            f"Who you are at {settings.N2W_OIDC_NAME} belongs to another user here: nothing was changed."
        )
    SocialAccount.objects.filter(user_id=person.pk, provider=claims.provider).delete()
    try:
        with transaction.atomic():
            SocialAccount.objects.create(user=person, provider=claims.provider, uid=claims.subject)
    except IntegrityError:
        raise LinkRefusedError("Somebody else was faster: nothing was changed.") from None
    _enter(person, Change(_FIELD, "", SECRET))


@transaction.atomic
def link_invited(claims: Claims) -> None:
    """Link one who was invited and has not come yet, by the address that a superuser entered.

    LinkRefusedError if the operator does not allow that, the provider has not verified the address, or it is not
    exactly one such person's. Nobody who has ever logged in, has a password or a second factor, or may do more than
    a user is linked by an address: who reads their mail would be them.
    """
    stranger = LinkRefusedError(
        f"Nobody here is linked to who you are at {settings.N2W_OIDC_NAME}. Log in with your password and connect "
        "it on your profile, or ask a superuser for an invitation."
    )
    if not settings.N2W_OIDC_INVITED_BY_EMAIL or not claims.verified_email:
        raise stranger
    found = list(User.objects.select_for_update().filter(email__iexact=claims.verified_email)[:2])
    if len(found) != 1 or not _is_same(found[0].email, claims.verified_email):
        raise stranger
    if not _waits(found[0]):
        raise stranger
    link(found[0], claims)
    log.info("%s accepted the invitation by OpenID Connect", found[0].username)


def _is_same(address: str, other: str) -> bool:
    """Compare letter by letter: for PostgreSQL a dotless i is an i, so another's mailbox would be the same."""
    return address.lower() == other.lower()


def _waits(person: User) -> bool:
    """Tell whether the person was invited and has not come yet."""
    return (
        person.is_active
        and not (person.is_staff or person.is_superuser)
        and person.last_login is None
        and not person.has_usable_password()
        and not Authenticator.objects.filter(user_id=person.pk).exists()
        and not SocialAccount.objects.filter(user_id=person.pk).exists()
    )


@transaction.atomic
def unlink(person: User, *, by: User | None = None) -> int:
    """Let the person come by no provider any more; return how many links there were."""
    count = int(SocialAccount.objects.filter(user_id=person.pk).count())
    if count:
        SocialAccount.objects.filter(user_id=person.pk).delete()
        _enter(person, Change(_FIELD, SECRET, ""), by)
    return count


def _enter(person: User, change: Change, by: User | None = None) -> None:
    audit.record(Action.CHANGED, audit.of_user(person), [change], person=by or person)
