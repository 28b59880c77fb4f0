"""Forms of users."""

from typing import TYPE_CHECKING

from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.core.exceptions import ValidationError

from scripts_admin.models import User
from scripts_admin.services import users

if TYPE_CHECKING:
    _NewUser = AdminUserCreationForm[User]
    _User = UserChangeForm[User]
else:  # they are not generic at run time
    _NewUser, _User = AdminUserCreationForm, UserChangeForm


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
