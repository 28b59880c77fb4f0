"""What windows share: leases of resources, and permits that keep AWS's rates."""

from django.db import models

from policies.models.run import Run


class WindowLease(models.Model):
    """The right to freeze one resource. Two windows never overlap on it, even if their owners differ."""

    resource = models.CharField(max_length=80, primary_key=True)  # region:id
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="leases")
    taken_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.resource


class FirePermits(models.Model):
    """The token bucket of CreateSnapshots for one AWS account and region."""

    bucket = models.CharField(max_length=64, primary_key=True)  # account:region
    tokens = models.FloatField()
    filled_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.bucket


class VolumeFire(models.Model):
    """The time of a volume's last snapshot call; AWS requires a pause between two."""

    volume = models.CharField(max_length=80, primary_key=True)  # region:id
    fired_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.volume
