"""How much a proof may read, and how long it may take."""

from django.core.exceptions import ImproperlyConfigured

from n2wbackup.settings.env import read

__all__ = ["N2W_PROOF_BLOCKS", "N2W_PROOF_SECONDS"]


def _number(variable: str, usual: int, least: int, most: int) -> int:
    text = read(variable, str(usual))
    if not (text.isascii() and text.isdecimal()) or not least <= int(text) <= most:
        raise ImproperlyConfigured(
            f"{variable} is {text[:40]!r}: set it to a whole number from {least} to {most}."
        )
    return int(text)


# Blocks of 512 KiB: 40,000 are 20 GiB, and cost $0.12.
N2W_PROOF_BLOCKS = _number("N2W_PROOF_BLOCKS", 40_000, 100, 40_000_000)
N2W_PROOF_SECONDS = _number("N2W_PROOF_SECONDS", 600, 20, 3_000)
