"""The fields of a policy, each once: `apply`, `export`, forms, pages and JSON are made from this table.

A new field is one entry here, one column of the model and one migration; its place in the table is its place in
the document, in the form and on the page.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any

DAY_SECONDS = 86_400


class Kind(StrEnum):
    """What stands behind a key."""

    NUMBER = auto()
    TRUTH = auto()
    TEXT = auto()
    TEXTS = auto()


class Group(StrEnum):
    """The groups of a form, by their headings."""

    MAIN = ""
    WHEN = "When"
    SCRIPTS = "Scripts"
    LIMITS = "Limits"


@dataclass(frozen=True, slots=True)
class Field:
    """A key of the document, nested by its dots, and the column that holds what it says."""

    key: str
    column: str
    kind: Kind
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Field):
    """A field that has a default, and how people see it.

    A number is from `low` to `high`, both included, and is shown with its unit. A truth is shown in one of its two
    words, which may have {folder} in them for the name of the policy's folder.
    """

    default: int
    label: str
    help: str
    group: Group
    low: int = 0
    high: int = 0
    unit: str = ""
    words: tuple[str, str] = ("yes", "no")

    def in_words(self, value: int, *, folder: str) -> str:
        """Return the value as a page shows it."""
        if self.kind == Kind.TRUTH:
            return self.words[0 if value else 1].format(folder=folder)
        return f"{value} {self.unit}".rstrip()

    @property
    def hint(self) -> str:
        """Return what a form says below the field: the help, and the range of a number."""
        if self.kind == Kind.TRUTH:
            return self.help
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.help} From {self.low} to {self.high}{unit}."


POLICY = (
    Setting(
        key="enabled",
        column="enabled",
        kind=Kind.TRUTH,
        default=True,
        label="Enabled",
        help="A disabled policy runs only by hand.",
        group=Group.MAIN,
    ),
    Setting(
        key="retries.count",
        column="retry_count",
        kind=Kind.NUMBER,
        low=0,
        high=10,
        default=0,
        label="Retries of a failed run",
        help="How often a failed run is repeated.",
        group=Group.WHEN,
    ),
    Setting(
        key="retries.minutes",
        column="retry_minutes",
        kind=Kind.NUMBER,
        low=1,
        high=1_440,
        default=10,
        label="Time between retries",
        help="The time from the end of a failed run to its retry.",
        group=Group.WHEN,
        unit="min",
    ),
    Setting(
        key="max_freeze_seconds",
        column="max_freeze_seconds",
        kind=Kind.NUMBER,
        low=11,
        high=600,
        default=60,
        label="Frozen at most",
        help="The longest time from the start of before to the start of after. Then the thaw begins in any case.",
        group=Group.LIMITS,
        unit="s",
    ),
    Setting(
        key="snapshot_timeout_hours",
        column="snapshot_timeout_hours",
        kind=Kind.NUMBER,
        low=1,
        high=720,
        default=48,
        label="Snapshots are awaited for",
        help="The time that AWS has to complete the snapshots.",
        group=Group.LIMITS,
        unit="h",
    ),
    Setting(
        key="thaw_retry_minutes",
        column="thaw_retry_minutes",
        kind=Kind.NUMBER,
        low=1,
        high=10_080,
        default=60,
        label="A failing after is repeated for",
        help="The server repeats a failing after script for this time.",
        group=Group.LIMITS,
        unit="min",
    ),
    Setting(
        key="scripts.enabled",
        column="scripts_enabled",
        kind=Kind.TRUTH,
        default=True,
        label="Scripts",
        help="Run the policy's scripts. Without them the snapshots are crash-consistent.",
        group=Group.SCRIPTS,
        words=("run, from the folder {folder}", "not run"),
    ),
    Setting(
        key="scripts.collect_output",
        column="collect_output",
        kind=Kind.TRUTH,
        default=True,
        label="Their output",
        help="Keep what the scripts print.",
        group=Group.SCRIPTS,
        words=("kept", "not kept"),
    ),
    Setting(
        key="scripts.timeout_seconds.before",
        column="before_timeout_seconds",
        kind=Kind.NUMBER,
        low=1,
        high=590,
        default=30,
        label="Timeout of before",
        help="It leaves at least 10 s of the longest freeze for the snapshots.",
        group=Group.SCRIPTS,
        unit="s",
    ),
    Setting(
        key="scripts.timeout_seconds.after",
        column="after_timeout_seconds",
        kind=Kind.NUMBER,
        low=1,
        high=DAY_SECONDS,
        default=30,
        label="Timeout of after",
        help="A longer run of the script fails.",
        group=Group.SCRIPTS,
        unit="s",
    ),
    Setting(
        key="scripts.timeout_seconds.complete",
        column="complete_timeout_seconds",
        kind=Kind.NUMBER,
        low=1,
        high=DAY_SECONDS,
        default=30,
        label="Timeout of complete",
        help="A longer run of the script fails.",
        group=Group.SCRIPTS,
        unit="s",
    ),
    Setting(
        key="scripts.skip_snapshots_when_before_fails",
        column="skip_snapshots_when_before_fails",
        kind=Kind.TRUTH,
        default=False,
        label="When before fails",
        help="Make no snapshots when the before script fails.",
        group=Group.SCRIPTS,
        words=("no snapshots", "snapshots all the same"),
    ),
)
TARGET = (
    Field("instance", "instance_id", Kind.TEXT),
    Field("volume", "volume_id", Kind.TEXT),
    Field("region", "region", Kind.TEXT, required=True),
    Field("exclude_boot_volume", "exclude_boot_volume", Kind.TRUTH),
    Field("exclude_volumes", "exclude_volume_ids", Kind.TEXTS),
)

DEFAULTS = {field.column: field.default for field in POLICY}
RANGES = {field.column: (field.low, field.high) for field in POLICY if field.kind == Kind.NUMBER}


def columns(table: Iterable[Field]) -> dict[str, str]:
    """Return the columns by the keys that say them."""
    return {field.key: field.column for field in table}


def nested(table: Iterable[Field], of: Callable[[Field], Any]) -> dict[str, Any]:
    """Return what each field has, under the keys of the document: a dot in a key opens a mapping."""
    tree: dict[str, Any] = {}
    for field in table:
        *above, last = field.key.split(".")
        branch = tree
        for step in above:
            branch = branch.setdefault(step, {})
        branch[last] = of(field)
    return tree


def values(table: Iterable[Field], row: object) -> dict[str, Any]:
    """Return what the row's columns hold, nested as in the document; lists are copies."""

    def held(field: Field) -> Any:  # noqa: ANN401 - as the column is
        value = getattr(row, field.column)
        return list(value) if field.kind == Kind.TEXTS else value

    return nested(table, held)


def lines(group: Group) -> tuple[tuple[str, ...], ...]:
    """Return the columns of a form's group, line by line: numbers of one mapping stand side by side."""
    found: list[tuple[str, list[str]]] = []
    for field in POLICY:
        if field.group != group:
            continue
        mapping = field.key.rpartition(".")[0] if field.kind == Kind.NUMBER else ""
        if mapping and found and found[-1][0] == mapping:
            found[-1][1].append(field.column)
        else:
            found.append((mapping, [field.column]))
    return tuple(tuple(line) for _, line in found)
