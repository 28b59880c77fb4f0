"""Users."""

from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models

from scripts_admin.domain import names


class User(AbstractUser):
    """A user of this server. The folder has the same name, and a Linux account may have it, so it never changes."""

    username = models.CharField(
        "name",
        max_length=31,
        unique=True,
        validators=[
            RegexValidator(
                rf"\A{names.USER_NAME.pattern}\Z",
                "A user name starts with a lower-case letter and goes on with lower-case letters, "
                "digits, '_' or '-', 31 characters at most.",
            ),
        ],
        help_text="It also names the user's script folder and cannot be changed later.",
    )

    class Meta:
        """The database enforces the rule too."""

        constraints = [
            models.CheckConstraint(
                condition=models.Q(username__regex=rf"^{names.USER_NAME.pattern}$"),
                name="user_name_is_valid",
            ),
        ]
