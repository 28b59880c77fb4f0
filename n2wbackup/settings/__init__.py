"""The settings: `DJANGO_SETTINGS_MODULE=n2wbackup.settings`.

Importing this package reads nothing and writes nothing; that happens when the first setting is read. So
`n2wbackup.settings.test`, which Python can only import after this file, can still choose another
`N2W_HOME`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from n2wbackup.settings.main import *


def __dir__() -> list[str]:
    return dir(import_module("n2wbackup.settings.main"))


def __getattr__(name: str) -> object:
    # Only settings: Python itself asks for `__path__` and submodules, and this must not read the
    # settings.
    if not name.isupper():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("n2wbackup.settings.main"), name)
