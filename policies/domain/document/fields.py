"""The table of a policy's fields. `apply`, `export`, forms, pages and JSON are made from it.

A new field is one entry here, one column of the model and one migration. Its position in the table is its position
in the document, in the form and on the page.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from policies.domain import proofs
from policies.domain.document.kinds import Group, Kind
from policies.domain.runs.verdict import Required
from scripts_admin.domain.remote import Remote

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Field:
    """A key of the document and the column for its value; each dot in the key is a nested mapping."""

    key: str
    column: str
    kind: Kind
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Field):
    """A field with a default, a label and a help text.

    A number is from `low` to `high`, both included, and is shown with its unit; `zero` stands for 0. A truth is shown
    as one of its two `words`, in which {folder} becomes the name of the policy's folder. A choice is one of
    `choices`, each with the words that show it.
    """

    default: int | str
    label: str
    help: str
    group: Group
    low: int = 0
    high: int = 0
    unit: str = ""
    words: tuple[str, str] = ("yes", "no")
    zero: str = ""  # stands for the number 0
    choices: tuple[tuple[str, str], ...] = ()

    def in_words(self, value: int | str, *, folder: str) -> str:
        if self.kind == Kind.CHOICE:
            return dict(self.choices).get(str(value), str(value))
        if self.kind == Kind.TRUTH:
            return self.words[0 if value else 1].format(folder=folder)
        if value == 0 and self.zero:
            return self.zero
        return f"{value} {self.unit}".rstrip()

    @property
    def hint(self) -> str:
        """Return the text below the form's field: the help, and the range of a number."""
        if self.kind != Kind.NUMBER:
            return self.help
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.help} From {self.low} to {self.high}{unit}."


_PERIODS = {"daily": "days", "weekly": "weeks", "monthly": "months", "yearly": "years"}


def _timeout(phase: str) -> Setting:
    return Setting(
        key=f"scripts.timeout_seconds.{phase}",
        column=f"{phase}_timeout_seconds",
        kind=Kind.NUMBER,
        low=1,
        high=DAY_SECONDS,
        default=30,
        label=f"Timeout of {phase}",
        help="The script fails if it runs longer.",
        group=Group.SCRIPTS,
        unit="s",
    )


def _kept(word: str, column: str, label: str, high: int, what: str = "") -> Setting:
    """Return how many restore points a rule keeps; 0 switches the rule off."""
    per = what or f"So many {_PERIODS[word]} keep their newest restore point"
    return Setting(
        key=f"retention.{word}",
        column=column,
        kind=Kind.NUMBER,
        high=high,
        default=0,
        label=label,
        help=f"{per}. 0: none by this rule.",
        group=Group.RETENTION,
        zero="none",
    )


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
        key="success_requires",
        column="success_requires",
        kind=Kind.CHOICE,
        choices=(
            (Required.AUTO.value, "application if the policy has a before script, else crash"),
            (Required.APPLICATION.value, "application"),
            (Required.CRASH.value, "crash"),
        ),
        default=Required.AUTO.value,
        label="Success requires",
        help="The consistency that the snapshots need for the run to succeed. With less it ends as partial.",
        group=Group.MAIN,
    ),
    Setting(
        key="rpo_hours",
        column="rpo_hours",
        kind=Kind.NUMBER,
        low=0,
        high=8_784,
        default=0,
        label="Recovery point objective",
        help=(
            "The greatest age of the newest restore point. 0: the longest time between two runs of the schedules, "
            "and a grace."
        ),
        group=Group.WHEN,
        unit="h",
        zero="from the schedules",
    ),
    Setting(
        key="retries.count",
        column="retry_count",
        kind=Kind.NUMBER,
        low=0,
        high=10,
        default=2,
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
        label="Longest freeze",
        help="The longest time from the start of before to the start of after. After it, the thaw starts in any case.",
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
        label="Timeout of the snapshots",
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
        label="Repeat a failing after for",
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
        label="Output of the scripts",
        help="Keep what the scripts print.",
        group=Group.SCRIPTS,
        words=("kept", "not kept"),
    ),
    Setting(
        key="scripts.end_leftovers",
        column="end_leftovers",
        kind=Kind.TRUTH,
        default=False,
        label="End what the scripts leave behind",
        help="When a run is over, end the processes that its scripts left on this server. They are shown in any case.",
        group=Group.SCRIPTS,
        words=("ended when the run is over", "shown, and left alone"),
    ),
    Setting(
        key="scripts.timeout_seconds.before",
        column="before_timeout_seconds",
        kind=Kind.NUMBER,
        low=1,
        high=590,
        default=30,
        label="Timeout of before",
        help="It must leave at least 10 s of the longest freeze for the snapshots.",
        group=Group.SCRIPTS,
        unit="s",
    ),
    _timeout("after"),
    _timeout("complete"),
    Setting(
        key="scripts.skip_snapshots_when_before_fails",
        column="skip_snapshots_when_before_fails",
        kind=Kind.TRUTH,
        default=False,
        label="When before fails",
        help="Make no snapshots when the before script fails.",
        group=Group.SCRIPTS,
        words=("no snapshots", "snapshots anyway"),
    ),
    _kept("keep_last", "keep_last", "Keep last", 1_000, "The newest restore points"),
    _kept("daily", "keep_daily", "Keep daily", 3_660),
    _kept("weekly", "keep_weekly", "Keep weekly", 520),
    _kept("monthly", "keep_monthly", "Keep monthly", 240),
    _kept("yearly", "keep_yearly", "Keep yearly", 100),
    _kept(
        "generations",
        "keep_generations",
        "Keep generations",
        10_000,
        "Instead of the rules above: the newest restore points, however old",
    ),
    Setting(
        key="retention.timezone",
        column="retention_timezone",
        kind=Kind.TEXT,
        default="UTC",
        label="Time zone of the days",
        help="Days, weeks, months and years begin and end in this time zone.",
        group=Group.RETENTION,
    ),
    Setting(
        key="proof.every.days",
        column="proof_days",
        kind=Kind.NUMBER,
        high=366,
        default=0,
        label="Prove every",
        help="So often one of the restore points of these days, taken at random, is proven. 0: only by hand.",
        group=Group.PROOF,
        unit="days",
        zero="only by hand",
    ),
    Setting(
        key="proof.level",
        column="proof_level",
        kind=Kind.NUMBER,
        high=3,
        default=1,
        label="Level of proofs",
        help="0: readable, 1: mounts, 2: the application starts, 3: it agrees with the run.",
        group=Group.PROOF,
    ),
    Setting(
        key="proof.recipe",
        column="proof_recipe",
        kind=Kind.CHOICE,
        choices=proofs.CHOICES,
        default=proofs.Recipe.NONE.value,
        label="Started by proofs",
        help="The application whose data the snapshots have. Levels 2 and 3 need to know it.",
        group=Group.PROOF,
    ),
    Setting(
        key="proof.copies",
        column="proof_copies",
        kind=Kind.TRUTH,
        default=False,
        label="Prove copies, too",
        help="Each time the snapshots or one of the places with copies is tried, at random.",
        group=Group.PROOF,
    ),
)
TARGET = (
    Field("instance", "instance_id", Kind.TEXT),
    Field("volume", "volume_id", Kind.TEXT),
    Field("region", "region", Kind.TEXT, required=True),
    Field("exclude_boot_volume", "exclude_boot_volume", Kind.TRUTH),
    Field("exclude_volumes", "exclude_volume_ids", Kind.TEXTS),
    Field("remote.by", "remote_by", Kind.TEXT, required=True),
    Field("remote.user", "remote_user", Kind.PERHAPS),
    Field("remote.key", "remote_key", Kind.PERHAPS),
    Field("remote.host", "remote_host", Kind.PERHAPS),
    Field("remote.port", "remote_port", Kind.NUMBER),
    Field("remote.bastion", "remote_bastion", Kind.PERHAPS),
    Field("remote.sudo", "remote_sudo", Kind.TRUTH),
    Field("remote.document", "remote_document", Kind.PERHAPS),
    Field("remote.scripts.before", "remote_before", Kind.PERHAPS),
    Field("remote.scripts.after", "remote_after", Kind.PERHAPS),
)
_REMOTE = "remote"
# The columns that say how scripts get to an instance, by their key below `remote`.
REMOTE = {
    field.key.removeprefix(f"{_REMOTE}."): field.column
    for field in TARGET
    if field.key.startswith(f"{_REMOTE}.")
}

DEFAULTS: dict[str, Any] = {field.column: field.default for field in POLICY}
CHOICES = {field.column: field.choices for field in POLICY if field.kind == Kind.CHOICE}
RANGES = {field.column: (field.low, field.high) for field in POLICY if field.kind == Kind.NUMBER}


def columns(table: Iterable[Field]) -> dict[str, str]:
    """Return the column of each key."""
    return {field.key: field.column for field in table}


def nested(table: Iterable[Field], of: Callable[[Field], Any]) -> dict[str, Any]:
    """Return `of(field)` for each field, under the keys of the document; each dot in a key is a nested mapping."""
    tree: dict[str, Any] = {}
    for field in table:
        *above, last = field.key.split(".")
        branch = tree
        for step in above:
            branch = branch.setdefault(step, {})
        branch[last] = of(field)
    return tree


def values(table: Iterable[Field], row: object) -> dict[str, Any]:
    """Return the values of the row's columns, nested as in the document; lists are copies."""

    def held(field: Field) -> Any:  # noqa: ANN401 - as the column is
        value = getattr(row, field.column)
        return list(value) if field.kind == Kind.TEXTS else value

    return nested(table, held)


def target(row: "Reached") -> dict[str, Any]:
    """Return the values of a target, nested as in the document; `remote` is None if no script runs on it."""
    return values(TARGET, row) | {_REMOTE: row.remote.as_document()}


class Reached(Protocol):
    """A target, with how scripts get to it."""

    @property
    def remote(self) -> Remote: ...


def lines(group: Group) -> tuple[tuple[str, ...], ...]:
    """Return the columns of a form's group, line by line: numbers of one mapping are on one line."""
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
