"""What django-allauth asks of us when somebody comes by OpenID Connect: who that is here, and what is refused.

A person is known by the provider's word for them (`sub`), linked by themselves on their profile. Their e-mail address
links nobody, except one who was invited and has not come yet, where the operator allows it.
"""

from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from scripts_admin.allauth_hooks import address
from scripts_admin.models import User
from scripts_admin.services import logins
from scripts_admin.services import single_sign_on as links
from scripts_admin.services.single_sign_on import Claims, LinkRefusedError

HALF_SECONDS = 900  # a visitor's session, until they are logged in


class Adapter(DefaultSocialAccountAdapter):  # type: ignore[misc] # it bears no annotations
    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:  # noqa: ANN401 - allauth's, untyped
        """Let a linked person go on to the second step; link one, or refuse with a sentence."""
        is_connecting = sociallogin.state.get("process") == "connect"
        try:
            claims = _claims(sociallogin.account)
            if is_connecting:
                self._connect(request, sociallogin, claims)
            elif not sociallogin.is_existing:
                links.link_invited(claims)
                sociallogin.lookup()
        except LinkRefusedError as error:
            answer = refused(request, str(error), is_connecting=is_connecting)
            raise ImmediateHttpResponse(answer) from None
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
        del provider
        kind = type(exception).__name__ if exception else str(error)
        state = (extra_context or {}).get("state") or {}
        why = f"{settings.N2W_OIDC_NAME} did not let you in ({kind}): try again, or log in with your password."
        is_connecting = state.get("process") == "connect"
        raise ImmediateHttpResponse(refused(request, why, is_connecting=is_connecting))

    @staticmethod
    def _connect(request: HttpRequest, sociallogin: Any, claims: Claims) -> None:  # noqa: ANN401 - as above
        person = request.user
        began = (sociallogin.state.get("data") or {}).get("person")
        if not isinstance(person, User) or person.pk != began:
            raise LinkRefusedError("You are no longer logged in as who began this: begin again.")
        links.link(person, claims)
        messages.success(request, f"You can log in with {settings.N2W_OIDC_NAME} from now on.")
        raise ImmediateHttpResponse(redirect("profile"))


def refused(request: HttpRequest, why: str, *, is_connecting: bool) -> HttpResponse:
    """Send the visitor back to the page that they came from, with the reason."""
    messages.error(request, why)
    if is_connecting and request.user.is_authenticated:
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
