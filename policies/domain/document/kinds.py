"""The kinds of values in the document, and the groups of a policy's form."""

from enum import StrEnum, auto


class Kind(StrEnum):
    """The kind of a key's value."""

    NUMBER = auto()
    TRUTH = auto()
    CHOICE = auto()
    TEXT = auto()
    PERHAPS = auto()  # a text, or null for none
    TEXTS = auto()


class Group(StrEnum):
    """The groups of a form; each value is the heading."""

    MAIN = ""
    WHEN = "When"
    SCRIPTS = "Scripts"
    LIMITS = "Limits"
    RETENTION = "Retention"
    PROOF = "Proof"
