"""How the server gets into an AWS account."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower

from n2wbackup.lib.encrypted import EncryptedTextField
from policies.models.querysets import OwnedQuerySet


class Account(models.Model):
    """One owner's way into an AWS account."""

    class Auth(models.TextChoices):
        KEYS = "keys", "access keys"
        ROLE = "role", "a role that the server assumes"
        INSTANCE = "instance", "the server's own role (the SDK's default chain)"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="accounts"
    )
    name = models.CharField(max_length=64)
    auth = models.CharField(max_length=16, choices=Auth.choices, default=Auth.KEYS)
    access_key_id = models.CharField(max_length=128, blank=True)
    secret_access_key = EncryptedTextField(blank=True)
    role_arn = models.CharField(max_length=2048, blank=True)
    # The server creates it once and never changes it. The role's trust policy asks for it, so that
    # no other user of this server can use the role. It is not a secret.
    external_id = models.CharField(max_length=36, blank=True, editable=False)
    region = models.CharField(max_length=32, default="us-east-1")
    # Where the inventory looks for instances and volumes; none: in `region` alone.
    regions = models.JSONField("chosen regions", default=list, blank=True)
    # Learned from AWS. Permits are counted by it, as two rows may lead into the same AWS account.
    aws_account_id = models.CharField(max_length=12, blank=True, editable=False)

    objects = OwnedQuerySet["Account"].as_manager()

    class Meta:
        """A name is unique for its owner; each kind has the columns that it needs and no others."""

        permissions = [("use_server_role", "Can use the server's own AWS role for accounts")]
        constraints = [
            models.UniqueConstraint("owner", Lower("name"), name="account_name_is_the_owners_own"),
            models.CheckConstraint(
                condition=(
                    models.Q(auth="keys", role_arn="") & ~models.Q(access_key_id="")
                    | models.Q(auth="role", access_key_id="")
                    & ~models.Q(role_arn="")
                    & ~models.Q(external_id="")
                    | models.Q(auth="instance", access_key_id="", role_arn="")
                ),
                name="account_has_what_its_kind_needs",
            ),
            models.UniqueConstraint(
                fields=["external_id"],
                condition=~models.Q(external_id=""),
                name="external_id_is_one_accounts_own",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def chosen_regions(self) -> list[str]:
        """Return the regions whose instances and volumes are looked at."""
        return list(dict.fromkeys(self.regions)) or [self.region]
