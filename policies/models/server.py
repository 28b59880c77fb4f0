"""The servers that work on this database, and what each of them has in its script folders."""

from django.db import models

from n2wbackup.lib.sentences import SentenceField
from scripts_admin.models import Folder


class Server(models.Model):
    """One server: a home with its own id, spool and processes. Its heartbeat is entered by its watchdog."""

    id = models.CharField(primary_key=True, max_length=36, editable=False)  # N2W_HOME/server-id
    host = models.CharField(max_length=255)
    version = models.CharField(max_length=32)
    # A fingerprint of each encryption key, the encrypting one first: servers must read each other's secrets.
    keys = models.JSONField(default=list)
    first_seen_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True)  # in order: its windows are closed
    gone_at = models.DateTimeField(null=True)  # when another server missed its heartbeat
    removed_at = models.DateTimeField(null=True)  # a person said that it does not come back
    # Whether it may delete snapshots: services/servers/alone.py.
    confirmed_at = models.DateTimeField(
        null=True
    )  # since when it is known to work with the only copy of the rows
    place = models.JSONField(default=dict)  # signs of where its data was then
    doubt = SentenceField(blank=True)  # why it deletes nothing
    strangers = models.JSONField(default=dict)  # account and region: why it deletes nothing there

    class Meta:
        ordering = ["host", "id"]

    def __str__(self) -> str:
        return f"{self.host} ({self.id})"


class ScriptCopy(models.Model):
    """The files of one script folder as one server has them: its name and a digest of each."""

    server = models.ForeignKey(Server, on_delete=models.CASCADE, related_name="copies")
    folder = models.ForeignKey(Folder, on_delete=models.CASCADE, related_name="copies")
    files = models.JSONField(default=dict)

    class Meta:
        """A server has one copy of a folder."""

        constraints = [
            models.UniqueConstraint(fields=["server", "folder"], name="one_copy_on_a_server"),
        ]

    def __str__(self) -> str:
        return f"{self.folder} on {self.server}"


class Turn(models.Model):
    """When a tick was last taken, so that several beats do not ask AWS several times."""

    name = models.CharField(primary_key=True, max_length=32)
    taken_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
