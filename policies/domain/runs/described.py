"""What AWS said of an instance and its volumes when they were backed up, in the form that a run keeps.

`{"instance": row of DescribeInstances or None, "volumes": {id: row of DescribeVolumes}, …}`. AWS may
leave out any part of a row.
"""

from collections.abc import Mapping
from typing import Any


def device(document: Mapping[str, Any], volume_id: str) -> str:
    """Return the volume's device name, such as /dev/sda1; empty if it is unknown."""
    instance = document.get("instance") or {}
    for mapping in instance.get("BlockDeviceMappings", []):
        if mapping.get("Ebs", {}).get("VolumeId") == volume_id:
            return str(mapping.get("DeviceName", ""))
    return ""


def size_gib(document: Mapping[str, Any], volume_id: str) -> int | None:
    """Return the volume's size in GiB; None if it is unknown."""
    size = document.get("volumes", {}).get(volume_id, {}).get("Size")
    return size if isinstance(size, int) else None
