"""Forms of users."""

from typing import TYPE_CHECKING

from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.core.exceptions import ValidationError

from scripts_admin.models import User
from scripts_admin.services import users

if TYPE_CHECKING:
    _NewUser = AdminUserCreationForm[User]
    _User = UserChangeForm[User]
else:  # they take no types at run time
    _NewUser, _User = AdminUserCreationForm, UserChangeForm


class NewUserForm(_NewUser):
    """A new user, by the saving rules."""

    class Meta:
        model = User
        fields = ("username", "email")

    def clean_username(self) -> str:
        """Return a name that a user may have."""
        name = str(self.cleaned_data.get("username", ""))
        try:
            users.check(User(username=name))
        except ValidationError as error:
            raise ValidationError(error.message_dict["username"]) from None
        return name


class UserForm(_User):
    """A user who is there; the name is not among the fields, as it never changes."""

    class Meta:
        model = User
        fields = ("email", "first_name", "last_name", "is_active", "is_staff", "is_superuser")
