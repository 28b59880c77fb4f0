"""How much one script folder may hold."""

from django.core.exceptions import ImproperlyConfigured

from n2wbackup.settings.env import read

__all__ = ["N2W_FOLDER_FILES", "N2W_FOLDER_MIB"]


def _number(name: str, default: int) -> int:
    text = read(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise ImproperlyConfigured(f"{name} is {text!r}: set it to a whole number, at least 1.")
    return int(text)


N2W_FOLDER_FILES = _number("N2W_FOLDER_FILES", 10_000)
N2W_FOLDER_MIB = _number("N2W_FOLDER_MIB", 1024)
