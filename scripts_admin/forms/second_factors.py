"""Codes of the second factor: with the brake, and each code once."""

from typing import Any

from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm, EditWebAuthnForm
from django import forms
from django.core.exceptions import ValidationError

from scripts_admin.forms.looks import Dressed
from scripts_admin.services import logins, second_factors


class _Braked(Dressed):
    """The brake around a code, and its replay refused."""

    user: Any

    def clean_code(self) -> str:
        wait = logins.begin_code(self.user.username)
        if wait:
            raise ValidationError(logins.sentence(wait))
        try:
            code = str(super().clean_code())  # type: ignore[misc] # the form beside this class
        except ValidationError:
            raise self._refused() from None
        authenticator = getattr(self, "authenticator", None)
        if authenticator is not None and not second_factors.use_once(authenticator, code):
            raise self._refused()
        logins.code_succeeded(self.user.username)
        return code

    def _refused(self) -> ValidationError:
        logins.refused(self.user.username, "the second step", "wrong code")
        return ValidationError("This code is wrong, or it was used before. Wait for the next one.")


class CodeForm(_Braked, AuthenticateForm):  # type: ignore[misc] # it bears no annotations
    """A code of the app, or a recovery code, at the login."""


class ConfirmCodeForm(_Braked, ReauthenticateForm):  # type: ignore[misc] # as above
    """The same by a person who is logged in."""


class ActivateAppForm(_Braked, ActivateTOTPForm):  # type: ignore[misc] # as above
    """The first code of a new app."""


class AddPasskeyForm(Dressed, AddWebAuthnForm):  # type: ignore[misc] # as above
    """A new passkey, with a name that tells it from the others."""

    name = forms.CharField(required=False, max_length=64)
    passwordless = forms.BooleanField(
        label="Log in with this passkey alone",
        required=False,
        help_text="It then asks for your finger, face or PIN, and no password is needed.",
    )


class NamePasskeyForm(Dressed, EditWebAuthnForm):  # type: ignore[misc] # as above
    """Another name for a passkey."""

    name = forms.CharField(max_length=64)
