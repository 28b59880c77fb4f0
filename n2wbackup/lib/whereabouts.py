"""Signs of where the server's data is: they change when the data is copied, or is used on another machine."""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from django.conf import settings

_MACHINE = Path("/etc/machine-id")
_BOARD = Path("/sys/class/dmi/id/board_asset_tag")  # EC2 writes the instance's id here
_IN_A_CONTAINER = (Path("/.dockerenv"), Path("/run/.containerenv"))
_SET_IN_CONTAINERS = ("KUBERNETES_SERVICE_HOST", "ECS_CONTAINER_METADATA_URI_V4")


def signs() -> Mapping[str, str]:
    """Return a digest of each sign that this process can read; the machine's ids are shown to nobody.

    `home`: a file that is copied gets another inode, and a volume that is attached elsewhere keeps it. In a
    container the machine is no sign: the next one may run on another.
    """
    home = Path(settings.N2W_HOME)
    found = {"home": f"{home.stat().st_ino}.{(home / 'server-id').stat().st_ino}"}
    if not _is_contained():
        with suppress(OSError):
            found["machine"] = _MACHINE.read_text(encoding="ascii", errors="replace").strip()
        with suppress(OSError):
            board = _BOARD.read_text(encoding="ascii", errors="replace").strip()
            found["instance"] = board if board.startswith("i-") else ""
    return {name: _digest(text) for name, text in found.items() if text}


def _is_contained() -> bool:
    return any(path.exists() for path in _IN_A_CONTAINER) or any(
        name in os.environ for name in _SET_IN_CONTAINERS
    )


def _digest(text: str) -> str:
    return hashlib.sha256(f"n2wbackup {text}".encode()).hexdigest()[:16]
