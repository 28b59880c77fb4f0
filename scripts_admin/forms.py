"""Forms of users."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth.forms import (
    AdminPasswordChangeForm,
    AdminUserCreationForm,
    AuthenticationForm,
    UserChangeForm,
)
from django.core.exceptions import ValidationError

from scripts_admin.models import User
from scripts_admin.services import logins, users

if TYPE_CHECKING:
    _NewUser = AdminUserCreationForm[User]
    _User = UserChangeForm[User]
    _Password = AdminPasswordChangeForm[User]
else:  # they are not generic at run time
    _NewUser, _User, _Password = AdminUserCreationForm, UserChangeForm, AdminPasswordChangeForm


class NewUserForm(_NewUser):
    """A new user, checked by the same rules as in the service."""

    class Meta:
        model = User
        fields = ("username", "email")

    def clean_username(self) -> str:
        name = str(self.cleaned_data.get("username", ""))
        try:
            users.check(User(username=name))
        except ValidationError as error:
            raise ValidationError(error.message_dict["username"]) from None
        return name


class UserForm(_User):
    """An existing user; the name is not a field, because it never changes."""

    class Meta:
        model = User
        fields = ("email", "first_name", "last_name", "is_active", "is_staff", "is_superuser")


class PasswordForm(_Password):
    """Another password for a user, saved by the service."""

    def save(self, commit: bool = True) -> User:  # noqa: FBT001, FBT002 - Django's signature
        user = super().save(commit=False)
        if commit:
            users.change_password(user)
        return user


class LoginForm(AuthenticationForm):
    """Name and password. After some failures the next try has to wait, even with the right password."""

    def clean(self) -> dict[str, Any]:
        name = str(self.cleaned_data.get("username") or "")
        address = str(self.request.META.get("REMOTE_ADDR", "")) if self.request else ""
        if not name or not self.cleaned_data.get("password"):
            return super().clean()
        wait = logins.begin(name, address)
        if wait:
            logins.note_failure(name, address, f"too many failures, {wait} s to wait")
            raise ValidationError(
                f"There were too many failed logins. Try again in {wait} second{'s' * (wait != 1)}."
            )
        try:
            cleaned = super().clean()
        except ValidationError:
            logins.refused(name, address, "wrong name or password, or the user is inactive")
            raise
        logins.succeeded(name, address)
        return cleaned
