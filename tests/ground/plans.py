"""How the database answers: each query that a block makes, with the plan that the database has for it.

A plan is good if its cost does not grow with what there is. So no table that grows is read as a whole, nor
an index of it, unless one of these is the reason:

- the index has only rows that are under way (its condition leaves all others out), or
- the rows are read in the order of the index, and only the first ones, without a condition on the way.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

# One row for each run, or for something of a run, or for a policy.
GROWING = frozenset(
    {
        "policies_run",
        "policies_hold",
        "policies_runtarget",
        "policies_runsnapshot",
        "policies_phaseresult",
        "policies_outputchunk",
        "policies_runevent",
        "policies_dailycount",
        "policies_dailysum",
        "policies_alarm",
        "policies_alarmdelivery",
        "policies_description",
        "policies_volumefire",
        "policies_policy",
        "policies_policytarget",
        "policies_policy_schedules",
        "policies_copy",
        "policies_removal",
        "policies_proof",
        "policies_proofevent",
        "policies_recovery",
        "policies_recoverystep",
        "policies_recoveryresource",
        "policies_recoveryevent",
        "policies_openedsnapshot",
        "policies_broughtfiles",
        "policies_snapshotsize",
    }
)
# Indexes with rows that are under way only: the work on these is never more than what is to be done.
UNDER_WAY = frozenset(
    {
        "run_unfinished",
        "one_unfinished_run_of_a_policy",
        "run_tags_due",
        "run_retry_due",
        "target_unknown",
        "snapshot_pending",
        "alarm_to_spread",
        "delivery_due",
        "policy_frozen",
        "policy_failing",
        "policy_paused",
        "policy_not_reckoned",
        "policy_worst",  # all policies, ten thousand at most, read from the worst on
        "target_to_check",  # the targets, of which there are not many more than policies
        "run_with_gone_snapshots",
        "run_newest_gone",
        "run_newest_gone_of_owner",
        "removal_not_ended",
        "recovery_due",
        "copy_announced",
        "copy_shares_its_source",
        "proof_due",
        "proof_tag_due",
        "opened_now",
        "brought_due",
    }
)
_MANY = 200_000  # of a million
_EXPLAINED = ("SELECT", "UPDATE", "DELETE", "WITH")
_LAST = re.compile(
    r"LAST \d* ?TERMS?|RIGHT PART"
)  # rows of the same moment are sorted among themselves
_ALIAS = re.compile(r'"(\w+)"(?: AS)? "?([A-Z]\d+)"?(?=[\s,)]|$)')


@dataclass(slots=True)
class Statement:
    """One query, its plan as text, and what is wrong with the plan."""

    sql: str
    plan: str = ""
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{'; '.join(self.faults)}\n  {self.sql[:1500]}\n{self.plan}"


def of(act: Callable[[], object]) -> list[Statement]:
    """Call `act`, and return each different statement that it made, explained after it."""
    seen: dict[str, Any] = {}
    with recording() as made:
        act()
    for sql, params in made:
        seen.setdefault(sql, params)
    return [_explained(sql, params) for sql, params in seen.items()]


def bad(act: Callable[[], object], may: Mapping[str, str] | None = None) -> list[Statement]:
    """Return the statements whose cost grows; `may` has tables that are read as a whole, with the reason."""
    found = []
    for one in of(act):
        one.faults = [f for f in one.faults if f.partition(" ")[0] not in (may or {})]
        if one.faults:
            found.append(one)
    return found


@contextmanager
def recording() -> Iterator[list[tuple[str, Any]]]:
    """Give the list of the statements within the block, with their parameters."""
    made: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip("( ").upper().startswith(_EXPLAINED) and not many:
            made.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield made


def _explained(sql: str, params: Any) -> Statement:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
            told = cursor.fetchone()[0]
            tree = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
            lines, faults = _postgresql(tree)
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
            lines = [row[3] for row in cursor.fetchall()]
            faults = _sqlite(sql, lines)
    return Statement(sql, "\n".join(f"    {line}" for line in lines), faults)


def _sqlite(sql: str, lines: Sequence[str]) -> list[str]:
    names = {alias: table for table, alias in _ALIAS.findall(sql)}
    is_first_ones = " LIMIT " in sql and not any(
        line.startswith("USE TEMP B-TREE FOR ") and not _LAST.search(line) for line in lines
    )
    faults = []
    for line in lines:
        words = line.split()
        if words[0] != "SCAN" or len(words) < 2:
            continue
        table = names.get(words[1], words[1])
        index = words[words.index("INDEX") + 1] if "INDEX" in words else ""
        # The table itself is in the order of its keys; asked for nothing else, the first rows are those at its end.
        is_short = is_first_ones and (index or " WHERE " not in sql)
        if table not in GROWING or index in UNDER_WAY or is_short:
            continue
        faults.append(f"{table} is read as a whole{f', by {index}' if index else ''}")
    return faults


def _postgresql(tree: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    lines: list[str] = []
    faults: list[str] = []
    _walk(tree, 0, False, lines, faults)
    return lines, faults


def _walk(
    node: Mapping[str, Any],
    depth: int,
    first_ones: bool,
    lines: list[str],
    faults: list[str],
) -> None:
    kind, table = node["Node Type"], node.get("Relation Name", "")
    index = node.get("Index Name", "")
    terms = {k: node[k] for k in ("Index Cond", "Filter", "Recheck Cond") if k in node}
    rows = node.get("Plan Rows")
    lines.append(f"{'  ' * depth}{kind} {table} {index} rows={rows} {terms or ''}".rstrip())
    if table in GROWING:
        if kind == "Seq Scan" and not (first_ones and "Filter" not in node):
            faults.append(f"{table} is read as a whole")
        elif (
            kind in {"Index Scan", "Index Only Scan"}
            and "Index Cond" not in node
            and index not in UNDER_WAY
            and not (first_ones and _soon_found(node))
        ):
            faults.append(f"{table} is read as a whole, by {index}")
    first_ones = kind == "Limit" or (first_ones and kind not in {"Sort", "Hash", "Aggregate"})
    for child in node.get("Plans", ()):
        _walk(child, depth + 1, first_ones, lines, faults)


def _soon_found(node: Mapping[str, Any]) -> bool:
    """Tell whether the first rows that fit are near: nearly all fit."""
    return "Filter" not in node or node["Plan Rows"] >= _MANY


def enlarge(times: int) -> None:
    """Have PostgreSQL's planner believe that the tables that grow are so many times as large.

    Call ANALYZE before, and be in a transaction that is taken back. Needs a superuser of the database. SQLite
    has no statistics on a server: its plans are the same at every size.
    """
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute("SET LOCAL jit = off")
        cursor.execute(
            "UPDATE pg_class SET reltuples = reltuples * %s, relpages = relpages"
            " WHERE relkind = 'r' AND relname = ANY(%s)",
            [times, sorted(GROWING)],
        )
