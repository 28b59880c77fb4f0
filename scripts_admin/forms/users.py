"""Users in the admin."""

from typing import TYPE_CHECKING

from django.contrib.auth.forms import (
    AdminPasswordChangeForm,
    AdminUserCreationForm,
    UserChangeForm,
)
from django.core.exceptions import ValidationError

from scripts_admin.models import User
from scripts_admin.services import users

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
