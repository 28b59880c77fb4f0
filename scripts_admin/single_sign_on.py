"""What django-allauth asks of us when somebody comes by OpenID Connect: who that is here, and what is refused.

A person is known by the provider's word for them (`sub`), linked by themselves on their profile. Their e-mail address
links nobody, except one who was invited and has not come yet, where the operator allows it.
"""

import time
from collections.abc import Mapping
from typing import Any

from allauth.account.internal.flows.login import record_authentication
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from scripts_admin.allauth_hooks import BY_PROVIDER, address
from scripts_admin.models import User
from scripts_admin.services import logins
from scripts_admin.services import single_sign_on as links
from scripts_admin.services.single_sign_on import Claims, LinkRefusedError

HALF_SECONDS = 900  # a visitor's session, until they are logged in


class Adapter(DefaultSocialAccountAdapter):  # type: ignore[misc] # it bears no annotations
    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:  # noqa: ANN401 - allauth's, untyped
        """Let a linked person go on to the second step; link one, or refuse with a sentence."""
        asked = sociallogin.state.get("data") or {}
        try:
            token = sociallogin.account.extra_data.get("id_token") or {}
            claims = _claims(sociallogin.account)
            if sociallogin.state.get("process") == "connect":
                self._connect(request, asked, claims)
            elif "confirms" in asked:
                self._confirm(request, sociallogin, token)
            elif not sociallogin.is_existing:
                links.link_invited(claims)
                sociallogin.lookup()
        except LinkRefusedError as error:
            raise ImmediateHttpResponse(refused(request, str(error))) from None
        # Whoever planted the session's key in this browser must not hold a session that is half logged in.
        request.session.cycle_key()
        request.session.set_expiry(HALF_SECONDS)

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,  # noqa: ANN401 - as above
        error: Any = None,  # noqa: ANN401 - as above
        exception: Exception | None = None,
        extra_context: Any = None,  # noqa: ANN401 - as above
    ) -> None:
        """Say it on our own page; the provider's words may be anything, and are only logged by their kind."""
        del provider, extra_context
        kind = type(exception).__name__ if exception else str(error)
        why = f"{settings.N2W_OIDC_NAME} did not let you in ({kind}): try again, or log in with your password."
        raise ImmediateHttpResponse(refused(request, why))

    @staticmethod
    def _connect(request: HttpRequest, asked: Mapping[str, Any], claims: Claims) -> None:
        person = _began_by(request, asked.get("person"))
        links.link(person, claims)
        messages.success(request, f"You can log in with {settings.N2W_OIDC_NAME} from now on.")
        raise ImmediateHttpResponse(redirect("profile"))

    @staticmethod
    def _confirm(request: HttpRequest, sociallogin: Any, token: Mapping[str, Any]) -> None:  # noqa: ANN401 - as above
        """Note that the person has just shown there who they are; the session stays as it is."""
        asked = sociallogin.state["data"]
        person = _began_by(request, asked["confirms"])
        if not sociallogin.is_existing or sociallogin.user.pk != person.pk:
            raise LinkRefusedError(
                f"Somebody else logged in at {settings.N2W_OIDC_NAME}: nothing was confirmed."
            )
        links.check_shown(token, time.time() - asked["at"])
        record_authentication(request, person, BY_PROVIDER, reauthenticated=True)
        raise ImmediateHttpResponse(redirect(sociallogin.state.get("next") or "profile"))


def _began_by(request: HttpRequest, key: object) -> User:
    person = request.user
    if not isinstance(person, User) or person.pk != key:
        raise LinkRefusedError("You are no longer logged in as who began this: begin again.")
    return person


def refused(request: HttpRequest, why: str) -> HttpResponse:
    """Send the visitor back to the page that they came from, with the reason."""
    messages.error(request, why)
    if request.user.is_authenticated:
        return redirect("profile")
    logins.note_failure("", address(request), f"OpenID Connect: {why}")
    return redirect("account_login")


def _claims(account: Any) -> Claims:  # noqa: ANN401 - allauth's, untyped
    """Return what the provider says in the signed token; the rest may only add the address of the same person."""
    token = account.extra_data.get("id_token") or {}
    more = account.extra_data.get("userinfo") or {}
    subject = token.get("sub")
    if not subject or str(subject) != account.uid or more.get("sub", subject) != subject:
        raise LinkRefusedError(
            f"{settings.N2W_OIDC_NAME} did not say clearly who you are: tell whoever runs this server."
        )
    of = more if "email" in more else token
    is_verified = of.get("email_verified") is True
    account.extra_data = {}  # nothing of it is needed later, so nothing of it is kept
    if account.pk:
        account.save(update_fields=["extra_data"])
    return Claims(account.provider, account.uid, str(of.get("email") or "") if is_verified else "")
