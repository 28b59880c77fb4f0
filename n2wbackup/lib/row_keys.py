"""Keys of rows, as requests name them: digits that a column holds, and that Python reads without a limit."""

_DIGITS = 18  # of the largest key, less one


def is_key(text: str) -> bool:
    """Tell whether the text can be the key of a row."""
    return len(text) <= _DIGITS and text.isascii() and text.isdecimal()
