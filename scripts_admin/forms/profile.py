"""What a person changes of themselves, and what starts them: the profile, the password, the first login."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.core.exceptions import ValidationError

from scripts_admin.forms.looks import Dressed
from scripts_admin.models import User
from scripts_admin.services import logins, users

if TYPE_CHECKING:
    _UserForm = forms.ModelForm[User]
    _Passwords = SetPasswordForm[User]
else:  # they are not generic at run time
    _UserForm, _Passwords = forms.ModelForm, SetPasswordForm


class ProfileForm(Dressed, _UserForm):
    """Name and e-mail address. The user name never changes."""

    class Meta:
        model = User
        fields = ("first_name", "last_name", "email")
        labels = {"email": "E-mail address"}


class PasswordForm(Dressed, PasswordChangeForm):
    """The present password and a new one, with the brake of the login page."""

    def __init__(self, *args: Any, address: str, **kwargs: Any) -> None:  # noqa: ANN401 - Django's own
        self._address = address
        super().__init__(*args, **kwargs)

    def clean_old_password(self) -> str:
        name = self.user.username
        wait = logins.begin(name, self._address)
        if wait:
            raise ValidationError(logins.sentence(wait))
        try:
            found = super().clean_old_password()
        except ValidationError:
            logins.refused(name, self._address, "wrong password at a change of the password")
            raise
        logins.succeeded(name, self._address)
        return str(found)


class ChoosePasswordForm(Dressed, _Passwords):
    """A new password, twice."""


class NewPersonForm(Dressed, _UserForm):
    """Who is to be made: checked by the rules of the service."""

    class Meta:
        model = User
        fields = ("username", "first_name", "last_name", "email")
        labels = {"username": "User name", "email": "E-mail address"}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "username" in cleaned:
            users.check(User(username=cleaned["username"], email=cleaned.get("email", "")))
        return cleaned


class InviteForm(NewPersonForm):
    """A person to be invited, with their rights."""

    class Meta:
        model = User
        fields = ("username", "first_name", "last_name", "email", "is_staff", "is_superuser")
        labels = {
            "username": "User name",
            "email": "E-mail address",
            "is_staff": "has the admin pages (staff)",
            "is_superuser": "may do everything (superuser)",
        }
        help_texts = {"is_staff": "", "is_superuser": ""}


class FirstPersonForm(NewPersonForm):
    """The first superuser, with a password."""

    new_password1 = forms.CharField(
        label="Password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    new_password2 = forms.CharField(
        label="Password again",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if "username" in cleaned and "new_password1" in cleaned:
            form = SetPasswordForm(User(username=cleaned["username"]), self.data)
            for name, errors in form.errors.items():
                self.add_error(name, errors.as_data())
        return cleaned
