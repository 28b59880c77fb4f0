"""What windows share: leases of resources, and the permits that AWS's rates leave."""

from django.db import models

from policies.models.run import Run


class WindowLease(models.Model):
    """The right to hold one resource frozen; two windows never overlap on it, whoever owns them."""

    resource = models.CharField(max_length=80, primary_key=True)  # region:id
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="leases")
    taken_at = models.DateTimeField()

    def __str__(self) -> str:
        """Return the resource."""
        return self.resource


class FirePermits(models.Model):
    """The token bucket of CreateSnapshots for one AWS account and region."""

    bucket = models.CharField(max_length=64, primary_key=True)  # account:region
    tokens = models.FloatField()
    filled_at = models.DateTimeField()

    def __str__(self) -> str:
        """Return the bucket's name."""
        return self.bucket


class VolumeFire(models.Model):
    """When a volume was last fired at; AWS wants a pause between."""

    volume = models.CharField(max_length=80, primary_key=True)  # region:id
    fired_at = models.DateTimeField()

    def __str__(self) -> str:
        """Return the volume."""
        return self.volume
