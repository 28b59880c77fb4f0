"""The hosts that a run logs in to by itself: which key is approved, and what is entered when another one is shown."""

from scripts_admin.models import Folder, HostState, SshHost, SshKey
from scripts_admin.services import hosts
from scripts_admin.services.hosts import HostRefusedError


class NotApprovedError(Exception):
    """Nobody has approved the key of a host; the text is a sentence for people."""


def approved(folder: Folder, name: str, port: int) -> tuple[str, ...]:
    """Return the approved key of a host; empty if there is none."""
    return tuple(
        SshHost.objects.filter(folder=folder, name=name, port=port)
        .exclude(key="")
        .values_list("key", flat=True)
    )


def instance_of(folder: Folder, name: str, port: int) -> str:
    """Return the id of the instance that the host is; "" if that is not known."""
    found = SshHost.objects.filter(folder=folder, name=name, port=port)
    return found.values_list("instance_id", flat=True).first() or ""


def private_keys(folder: Folder) -> tuple[str, ...]:
    """Return the valid private keys of a folder, the newest first; DecryptionError if one cannot be read."""
    valid = SshKey.objects.filter(folder=folder, slot__isnull=False)
    return tuple(each.private for each in valid if each.private)


def refuse_unknown(folder: Folder, name: str, port: int, instance_id: str) -> NotApprovedError:
    """Put a host on the page Hosts, where a worker asks it for its key; return the sentence about it.

    Nothing is approved by that. The limits of questions hold here, too.
    """
    host = SshHost.objects.filter(folder=folder, name=name, port=port).first()
    if host is None:
        try:
            host = hosts.add(folder, name, port, by=None)
        except HostRefusedError as error:
            return NotApprovedError(
                f"Nobody has approved the host key of {name} ({instance_id}), and it was not put on the page Hosts: "
                f"{error}"
            )
        SshHost.objects.filter(pk=host.pk).update(instance_id=instance_id)
    return NotApprovedError(_says(host, instance_id))


def _says(host: SshHost, instance_id: str) -> str:
    what = f"the host key of {host} ({instance_id})"
    if host.state == HostState.REFUSED:
        return f"Somebody has refused {what}: look at it on the page Hosts of these scripts."
    return (
        f"Nobody has approved {what}: it stands on the page Hosts of these scripts. Compare its fingerprint there, and "
        "approve it."
    )
