"""Failed logins, counted."""

from django.db import models


class FailedLogins(models.Model):
    """How often logins have failed for one name from one address, or from one address.

    The key is a digest: people type passwords into the field of the name.
    """

    key = models.CharField(max_length=64, unique=True)
    failures = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.failures} until {self.last_at}"
