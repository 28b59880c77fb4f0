"""Logging in, and confirming who one is. After some failures the next try has to wait, even with the right password."""

from typing import Any

from allauth.account.forms import ReauthenticateForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from scripts_admin.forms.looks import Dressed
from scripts_admin.services import logins


class LoginForm(Dressed, AuthenticationForm):
    """Name and password."""

    def clean(self) -> dict[str, Any]:
        name = str(self.cleaned_data.get("username") or "")
        address = str(self.request.META.get("REMOTE_ADDR", "")) if self.request else ""
        if not name or not self.cleaned_data.get("password"):
            return super().clean()
        wait = logins.begin(name, address)
        if wait:
            logins.note_failure(name, address, f"too many failures, {wait} s to wait")
            raise ValidationError(logins.sentence(wait))
        try:
            cleaned = super().clean()
        except ValidationError:
            logins.refused(name, address, "wrong name or password, or the user is inactive")
            raise
        logins.succeeded(name, address)
        return cleaned


class ConfirmPasswordForm(Dressed, ReauthenticateForm):  # type: ignore[misc] # it bears no annotations
    """The person's own password once more; the adapter checks it, with the brake."""
