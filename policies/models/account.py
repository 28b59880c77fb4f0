"""The way into one AWS account."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower

from n2wbackup.lib.encrypted import EncryptedTextField
from policies.querysets import OwnedQuerySet


class Account(models.Model):
    """An AWS account as one owner reaches it."""

    class Auth(models.TextChoices):
        """How the server proves who it is."""

        KEYS = "keys", "access keys"
        INSTANCE = "instance", "the server's own role (the SDK's default chain)"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="accounts"
    )
    name = models.CharField(max_length=64)
    auth = models.CharField(max_length=16, choices=Auth.choices, default=Auth.KEYS)
    access_key_id = models.CharField(max_length=128, blank=True)
    secret_access_key = EncryptedTextField(blank=True)
    region = models.CharField(max_length=32, default="us-east-1")
    # Learned from AWS: permits are counted by it, as two rows may be two ways into one AWS account.
    aws_account_id = models.CharField(max_length=12, blank=True, editable=False)

    objects = OwnedQuerySet["Account"].as_manager()

    class Meta:
        """One name an owner; keys exactly where keys are used."""

        constraints = [
            models.UniqueConstraint("owner", Lower("name"), name="account_name_is_the_owners_own"),
            models.CheckConstraint(
                condition=(
                    models.Q(auth="keys") & ~models.Q(access_key_id="")
                    | models.Q(auth="instance", access_key_id="")
                ),
                name="account_has_keys_or_needs_none",
            ),
        ]

    def __str__(self) -> str:
        """Return the account's name."""
        return self.name
