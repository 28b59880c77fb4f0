"""Codes of the second factor: with the brake, and each code once."""

from typing import Any

from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.totp.forms import ActivateTOTPForm
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
        logins.note_failure(self.user.username, "the second step", "wrong code")
        return ValidationError("This code is wrong, or it was used before. Wait for the next one.")


class CodeForm(_Braked, AuthenticateForm):  # type: ignore[misc] # it bears no annotations
    """A code of the app, or a recovery code, at the login."""


class ConfirmCodeForm(_Braked, ReauthenticateForm):  # type: ignore[misc] # as above
    """The same by a person who is logged in."""


class ActivateAppForm(_Braked, ActivateTOTPForm):  # type: ignore[misc] # as above
    """The first code of a new app."""
