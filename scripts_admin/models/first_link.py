"""The link that makes the first superuser."""

from django.db import models


class FirstLink(models.Model):
    """The digest of a link that was printed and not yet used; whoever deletes the row may make the first superuser."""

    digest = models.CharField(max_length=64, unique=True)
    made_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"made {self.made_at}"
