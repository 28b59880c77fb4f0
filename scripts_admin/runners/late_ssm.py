"""How to ask an instance over SSM later: as values that can be handed to another process, or kept in the spool.

No Django and no I/O in here. What is secret is in the spool only as sealed text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts_admin.runners.addresses import Seal


@dataclass(frozen=True, slots=True)
class Late:
    """Everything that is needed to send one more command, without the database.

    `credentials` is a text that only whoever calls AWS can read. A command that has told nothing within
    `within_seconds` is given up, and another one follows.
    """

    region: str
    document: str
    within_seconds: float
    credentials: str = field(default="", repr=False)

    def to_spool(self, seal: Seal) -> dict[str, Any]:
        """Return it as JSON's values, with everything secret sealed."""
        return {
            "region": self.region,
            "document": self.document,
            "within_seconds": self.within_seconds,
            "secrets": seal(self.credentials),
        }

    @classmethod
    def from_spool(cls, raw: Mapping[str, Any], unseal: Seal) -> "Late":
        """Return what `to_spool` gave; an exception of Python's own for anything else. Raises what `unseal` raises."""
        return cls(
            str(raw["region"]),
            str(raw["document"]),
            float(raw["within_seconds"]),
            unseal(str(raw["secrets"])),
        )
