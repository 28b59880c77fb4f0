"""What django-allauth asks of us: our brake, our sentences, our encryption, and no sign-up."""

import time
from ipaddress import ip_address
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.safestring import mark_safe

from n2wbackup.lib import encrypted
from scripts_admin.domain.audit import SECRET, Action, Change
from scripts_admin.models import User
from scripts_admin.services import audit, logins

UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104 - no address to listen at
BY_PROVIDER = "n2w_provider"  # in allauth's notes of the session: shown at the provider, which was told to ask
INACTIVE = "This user cannot log in. Ask a superuser."
# What a page says after a deed of allauth; the others say nothing.
_SENTENCES = {
    "mfa/messages/totp_activated.txt": "The app is your second factor from now on.",
    "mfa/messages/totp_deactivated.txt": "The app is no longer a second factor.",
    "mfa/messages/recovery_codes_generated.txt": "There are new recovery codes: keep them where only you find them.",
    "mfa/messages/webauthn_added.txt": "The passkey was added.",
    "mfa/messages/webauthn_removed.txt": "The passkey was removed.",
}
# What of it the audit has: allauth says each deed with its text, after the transaction.
_FACTORS = {
    "mfa/messages/totp_activated.txt": Change("second factor: app", "", SECRET),
    "mfa/messages/totp_deactivated.txt": Change("second factor: app", SECRET, ""),
    "mfa/messages/recovery_codes_generated.txt": Change("recovery codes", "", SECRET),
    "mfa/messages/webauthn_added.txt": Change("second factor: passkey", "", SECRET),
    "mfa/messages/webauthn_removed.txt": Change("second factor: passkey", SECRET, ""),
}


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc] # it bears no annotations
    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 - allauth's signature
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that n2wbackup.proxies believes; no header is asked."""
        return address(request)

    def add_message(
        self,
        request: HttpRequest,
        level: int,
        message_template: str | None = None,
        message_context: Any = None,  # noqa: ANN401, ARG002 - what allauth's own texts would need
        extra_tags: str = "",
        message: str | None = None,
    ) -> None:
        said = message or _SENTENCES.get(message_template or "")
        if message_template in _FACTORS and isinstance(request.user, User):
            audit.record(
                Action.CHANGED, audit.of_user(request.user), [_FACTORS[str(message_template)]]
            )
        if said:
            messages.add_message(request, level, said, extra_tags)

    def reauthenticate(self, user: User, password: str) -> bool:
        """Check the person's own password, with the brake of the login page."""
        where = address(self.request)
        wait = logins.begin(user.username, where)
        if wait:
            raise ValidationError(logins.sentence(wait))
        if not user.check_password(password):
            logins.refused(user.username, where, "wrong password at a confirmation")
            return False
        logins.succeeded(user.username, where)
        return True

    def get_reauthentication_methods(self, user: User) -> list[dict[str, Any]]:
        """Return the ways to confirm. Who has neither a password nor a second factor does it at the provider."""
        ways: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        if ways or not settings.N2W_OIDC:
            return ways
        return [{"id": BY_PROVIDER, "url": reverse("openid-login")}]

    def is_reauthentication_required(self, *, app: str, **more: Any) -> bool:  # noqa: ANN401 - as above
        """Tell whether allauth's pages ask for what it knows itself: not of whom the provider has just asked."""
        records = get_authentication_records(self.request, self.request.user)
        allowed = settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
        shown = [each["at"] for each in records if each["method"] == BY_PROVIDER]
        if shown and 0 <= time.time() - max(shown) < allowed:
            return False
        return bool(super().is_reauthentication_required(app=app, **more))

    def login(self, request: HttpRequest, user: User) -> None:
        """Log the person in, unless they were deactivated since the first step."""
        if not User.objects.filter(pk=user.pk, is_active=True).exists():
            raise ImmediateHttpResponse(self.respond_user_inactive(request, user))
        super().login(request, user)
        logins.entered(user)
        request.session.set_expiry(None)  # half a login, and a visit, end earlier

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:  # noqa: ARG002 - allauth's signature
        messages.error(request, INACTIVE)
        return redirect("account_login")


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc] # as above
    def encrypt(self, text: str) -> str:
        return encrypted.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return encrypted.unseal(encrypted_text)

    def generate_authenticator_name(self, user: User, type: str) -> str:  # noqa: A002 - allauth's signature
        return f"key {Authenticator.objects.filter(user_id=user.pk, type=type).count() + 1}"

    def build_totp_svg(self, url: str) -> str:
        """Return the picture without its first line: as a part of a page it is no XML file of its own."""
        picture = str(super().build_totp_svg(url)).partition("?>")[2]
        return mark_safe(picture)  # noqa: S308 - qrcode drew it, and the address is dots in it

    def get_totp_label(self, user: User) -> str:
        return f"{user.username}@{self._get_site_name()}"


def address(request: HttpRequest) -> str:
    """Return where the request comes from, as a column for addresses can hold it."""
    try:
        return str(ip_address(str(request.META.get("REMOTE_ADDR", "")).partition("%")[0]))
    except ValueError:
        return UNKNOWN_ADDRESS
