"""Messages to whoever supervises this process, in systemd's protocol; `serve` understands it too."""

import contextlib
import os
import socket

READY = "READY=1"
ALIVE = "WATCHDOG=1"


def is_wanted() -> bool:
    """Tell whether somebody listens."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def send(message: str) -> None:
    """Send the message; nothing happens if nobody listens. Never waits."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as end,
    ):
        end.sendto(message.encode(), address)
