"""What scripts_admin asks of others without importing them: whoever knows fills it in at start."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LastResult:
    """How a script of a policy ended in the policy's last run."""

    outcome: str
    exit_code: int | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class ScriptedPolicy:
    """A policy whose scripts are in a folder, with its last run as far as there was one.

    `results` are by phase; `instances` are those that it backs up, and whether scripts run on each (None: that is not
    for who asks). `is_visible` is False for somebody who may see the folder and not the policy: then
    nothing is said of its runs.
    """

    folder_id: int
    owner: str
    name: str
    scripts_enabled: bool = True
    is_visible: bool = False
    last_run: str = ""
    last_state: str = ""
    last_at: datetime | None = None
    hold_seconds: float | None = None
    results: Mapping[str, LastResult] = field(default_factory=dict)
    instances: Mapping[str, bool] | None = None


class PolicyDirectory(Protocol):
    """The policies, as the pages of script folders need them."""

    def of_folders(self, folder_ids: Collection[int], viewer_id: int) -> Sequence[ScriptedPolicy]:
        """Return the policies of these folders, sorted by name."""
        ...


class NoPolicies:
    """The directory of a process that has no policies."""

    def of_folders(self, folder_ids: Collection[int], viewer_id: int) -> Sequence[ScriptedPolicy]:  # noqa: ARG002 - as above
        return ()


_made: list[Callable[[], PolicyDirectory]] = [NoPolicies]


def fill(directory: Callable[[], PolicyDirectory]) -> None:
    """Let `policies` return what this makes; it is called when somebody asks, and not before."""
    _made[:] = [directory]


def policies() -> PolicyDirectory:
    return _made[0]()
