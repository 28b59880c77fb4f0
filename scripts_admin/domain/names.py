"""Which file belongs to which phase of which policy. Pure functions over names."""

import re
from collections.abc import Iterable

POLICY_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
USER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
IGNORED_ENDINGS = ("~", ".bak", ".orig", ".swp", ".rpmsave", ".dpkg-old")


def is_policy_name(name: str) -> bool:
    """Tell whether a policy may have this name; a dot would end the base name of its scripts."""
    return POLICY_NAME.fullmatch(name) is not None


def is_user_name(name: str) -> bool:
    """Tell whether a user may have this name; their folder and Linux account have it too."""
    return USER_NAME.fullmatch(name) is not None


def is_ignored(file_name: str) -> bool:
    """Tell whether the file is hidden, or left behind by an editor or a package manager."""
    return file_name.startswith(".") or file_name.endswith(IGNORED_ENDINGS)


def is_showable(file_name: str) -> bool:
    """Tell whether the name is UTF-8 without control characters; every other can be neither shown nor stored."""
    return file_name.isprintable()


def base_name(phase: str, policy: str) -> str:
    """Return the part of a script's name before its first dot. `phase`: also verify and start, of proofs."""
    return f"{phase}_{policy}"


def belongs(file_name: str, phase: str, policy: str) -> bool:
    """Tell whether an entry of this name is the policy's script for the phase (case-sensitive)."""
    base, dot, rest = file_name.partition(".")
    return (
        base == base_name(phase, policy) and bool(dot) and bool(rest) and not is_ignored(file_name)
    )


def candidates(file_names: Iterable[str], phase: str, policy: str) -> list[str]:
    """Return the names that are the policy's script for the phase, sorted; more than one is ambiguous."""
    return sorted(name for name in file_names if belongs(name, phase, policy))
