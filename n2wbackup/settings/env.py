"""Settings from the environment; only this package reads the project's variables.

A secret may also be in a file: `SECRET_KEY_FILE=/run/secrets/key`. Missing keys are created once, in
`N2W_HOME/secrets/`, mode 600. Back up that folder with the database: without it, the stored secrets
cannot be read.
"""

import errno
import os
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key
from environ import FileAwareEnv

from n2wbackup.lib import home, once, trust
from n2wbackup.lib.trust import ExposedError, UntrustedError
from scripts_admin.domain.places import Places

__all__ = [
    "BASE_DIR",
    "DEBUG",
    "N2W_ALARM_NETWORKS",
    "N2W_ENCRYPTION_KEYS",
    "N2W_HOME",
    "N2W_LATE_MINUTES",
    "N2W_LINUX_PLACES",
    "N2W_OTHERS_WAIT_MINUTES",
    "N2W_PORT",
    "N2W_RUN_SCRIPTS_AS",
    "N2W_SCRIPTS_ROOT",
    "N2W_SCRIPT_USER",
    "N2W_SECRET_FILES",
    "N2W_SERVER_GONE_SECONDS",
    "N2W_SERVER_WAIT_SECONDS",
    "N2W_SESSION_IDLE_MINUTES",
    "N2W_SSH_NETWORKS",
    "N2W_TRUSTED_PROXIES",
    "SECRET_KEY",
]

BASE_DIR = Path(__file__).resolve().parents[2]

# Files that a variable NAME_FILE names. They are judged when a command starts, not here: a thaw needs none of them.
N2W_SECRET_FILES = list[Path]()

_env = FileAwareEnv()
_LAST_PORT = 65535
_DAY_MINUTES = 1_440


def read(name: str, default: str = "") -> str:
    """Return the variable, or the content of the file in `<name>_FILE`, without blanks around it.

    An empty variable counts as unset.
    """
    named = os.environ.get(f"{name}_FILE")
    if named and os.environ.get(name, "").strip():
        # Neither wins: with the wrong one of two keys, what is stored could not be read.
        raise ImproperlyConfigured(
            f"{name} and {name}_FILE are both set, and only one can be meant: unset one of them."
        )
    if named:
        _note_secret_file(name, Path(named).absolute())
    try:
        found = str(_env.str(name, default)).strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name}_FILE names {error.filename}, which cannot be read ({error.strerror}): "
            "correct the name or the file's permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise ImproperlyConfigured(
            f"{name}_FILE names a file that is not UTF-8 text: write the value into it as text."
        ) from error
    if not found and os.environ.get(f"{name}_FILE"):
        # Not the default: a key made in its place would be another one than meant.
        raise ImproperlyConfigured(
            f"{name}_FILE names {os.environ[f'{name}_FILE']}, which is empty: "
            "write the value into it, or unset the variable."
        )
    return found


def folder(name: str, default: Path) -> Path:
    """Return the path in the variable; a relative one counts from the checkout, wherever a command is called."""
    given = read(name)
    return BASE_DIR / Path(given).expanduser() if given else default


def cure(error: OSError) -> str:
    """Return what to do when a file of the home cannot be written."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "its disk is full, so free some space"
    if error.errno == errno.EROFS:
        return "its disk is mounted read-only, so mount it read-write"
    return (
        "set N2W_HOME to a folder that the server may write to, or run this as the server's account"
    )


def runtime_folder() -> Path:
    """Return the path of the server's folder in memory, named by the server's id, which is created once."""
    try:
        return home.runtime_of(N2W_HOME)
    except OSError as error:
        raise ImproperlyConfigured(
            f"The server's id cannot be kept in {N2W_HOME / 'server-id'} ({error.strerror}): {cure(error)}."
        ) from error
    except ValueError as error:  # it says what to do
        raise ImproperlyConfigured(str(error)) from error


def own_queue() -> str:
    """Return the queue of this server. Without a readable id nothing is taken from it, but a thaw goes on."""
    try:
        return home.queue_of(home.server_id_of(N2W_HOME))
    except (OSError, ValueError):
        return home.queue_of("unknown")


def _note_secret_file(name: str, path: Path) -> None:
    if path.exists() and not path.is_file():
        raise ImproperlyConfigured(
            f"{name}_FILE names {path}, which is not a regular file: put the value into a file."
        )
    if path not in N2W_SECRET_FILES:
        N2W_SECRET_FILES.append(path)


def flag(name: str) -> bool:
    """Return whether the variable says yes; unset means no, every other value is an error."""
    value = read(name, "false").lower()
    if value not in {"true", "1", "yes", "on", "false", "0", "no", "off", ""}:
        raise ImproperlyConfigured(f"{name} is neither yes nor no: set it to true or false.")
    return value in {"true", "1", "yes", "on"}


def words(name: str, default: str) -> list[str]:
    """Return the parts of a list that is separated by commas or white space."""
    return read(name, default).replace(",", " ").split()


def _home() -> Path:
    found = folder("N2W_HOME", BASE_DIR / "var")
    if found.exists() and not found.is_dir():
        raise ImproperlyConfigured(f"N2W_HOME is {found}, which is not a folder: set it to one.")
    try:
        if not found.is_dir():
            for above in reversed([path for path in found.parents if not path.exists()]):
                above.mkdir(mode=0o755, exist_ok=True)  # with any umask, only we may write there
            found.mkdir(exist_ok=True)
            # Regardless of the umask: the accounts that scripts run as may pass through, but not list it.
            found.chmod(0o711)
    except OSError as error:
        raise ImproperlyConfigured(
            f"N2W_HOME is {found}, which cannot be created ({error.strerror}): "
            "set it to a folder that the server may write to."
        ) from error
    return found


def _secret(name: str, make: Callable[[], str]) -> str:
    given = read(name)
    if given:
        return given
    path = N2W_HOME / "secrets" / name.lower().replace("_", "-")
    try:
        return once.text(path, make, secret=True)
    except ExposedError as error:
        return error.text.strip() or make()  # authentic; every command but a thaw refuses to start
    except UntrustedError:
        return make()  # as above; a thaw goes on with a key that opens nothing
    except PermissionError as error:
        owner, own = trust.account(N2W_HOME.stat().st_uid), trust.account(os.geteuid())
        raise ImproperlyConfigured(
            f"{path} is for {owner} only, and this command runs as {own}: run it as {owner}."
        ) from error
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(
            f"{name} is not set and cannot be stored in {path} ({error}): set {name} or {name}_FILE."
        ) from error


def _encryption_keys() -> list[str]:
    text = _secret("N2W_ENCRYPTION_KEYS", lambda: Fernet.generate_key().decode())
    keys = text.replace(",", " ").split()
    if not keys:
        raise ImproperlyConfigured(
            "N2W_ENCRYPTION_KEYS has no key in it: unset it, or write the keys with commas between them."
        )
    for number, key in enumerate(keys, start=1):
        try:
            Fernet(key)
        except ValueError:
            raise ImproperlyConfigured(
                f"N2W_ENCRYPTION_KEYS: key number {number} is not 32 bytes in URL-safe base64. "
                "Create one with `openssl rand -base64 32 | tr +/ -_`."
            ) from None
    return keys


def _port() -> int:
    text = read("N2W_PORT", "8000")
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= _LAST_PORT:
        raise ImproperlyConfigured(
            f"N2W_PORT is {text!r}: set it to a port number from 1 to {_LAST_PORT}."
        )
    return int(text)


def _seconds(name: str, default: int, least: int) -> int:
    text = read(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise ImproperlyConfigured(
            f"{name} is {text!r}: set it to whole seconds, at least {least}."
        )
    return int(text)


def _run_scripts_as() -> str:
    value = read("N2W_RUN_SCRIPTS_AS", "cpmuser")
    if value not in {"cpmuser", "owner", "self"}:
        raise ImproperlyConfigured(
            f"N2W_RUN_SCRIPTS_AS is {value!r}: set it to cpmuser, owner or self."
        )
    return value


def _networks(name: str) -> list[IPv4Network | IPv6Network]:
    found = []
    for word in words(name, ""):
        try:
            found.append(ip_network(word))
        except ValueError:
            raise ImproperlyConfigured(
                f"{name} has {word!r}, which is not a network: write it like 127.0.0.0/8."
            ) from None
    return found


def _minutes(name: str, default: int) -> int:
    text = read(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= _DAY_MINUTES:
        raise ImproperlyConfigured(
            f"{name} is {text!r}: set it to a number of minutes from 1 to {_DAY_MINUTES}."
        )
    return int(text)


DEBUG = flag("DEBUG")
N2W_HOME = _home()
N2W_SCRIPTS_ROOT = folder("N2W_SCRIPTS_ROOT", N2W_HOME / "scripts")
N2W_RUN_SCRIPTS_AS = _run_scripts_as()
N2W_SCRIPT_USER = read("N2W_SCRIPT_USER", "cpmuser")
N2W_LINUX_PLACES = Places()
N2W_PORT = _port()
# A server whose heartbeat has stopped for so long is gone. What only that server can finish waits for it for
# the second time, from then on.
N2W_SERVER_GONE_SECONDS = _seconds("N2W_SERVER_GONE_SECONDS", 60, 10)
N2W_SERVER_WAIT_SECONDS = _seconds("N2W_SERVER_WAIT_SECONDS", 900, 0)
# Networks that alarms may reach although they are this machine's own, link-local or a cloud's metadata service.
N2W_ALARM_NETWORKS = _networks("N2W_ALARM_NETWORKS")
# The same for the hosts whose SSH keys the server asks for.
N2W_SSH_NETWORKS = _networks("N2W_SSH_NETWORKS")
# Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.
N2W_TRUSTED_PROXIES = _networks("N2W_TRUSTED_PROXIES")
N2W_SESSION_IDLE_MINUTES = _minutes("N2W_SESSION_IDLE_MINUTES", 60)
# How long an owner's failed thaw makes the runs of other owners wait.
N2W_OTHERS_WAIT_MINUTES = _minutes("N2W_OTHERS_WAIT_MINUTES", 10)
# A run that is due for longer and has not begun is late: its owner is told.
N2W_LATE_MINUTES = _minutes("N2W_LATE_MINUTES", 10)
SECRET_KEY = _secret("SECRET_KEY", get_random_secret_key)
# The first key encrypts, all keys decrypt; `manage.py rekey` encrypts old values with the first key.
N2W_ENCRYPTION_KEYS = _encryption_keys()
