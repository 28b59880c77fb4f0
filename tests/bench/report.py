"""The page of the measurements: first the goals, then a section for each part, the method and the machine."""

from collections.abc import Mapping
from datetime import date

from tests.bench import (
    report_costs,
    report_hold,
    report_load,
    report_punctual,
    report_remote,
    report_scale,
)
from tests.bench.goals import Goal
from tests.bench.parts import Results
from tests.bench.tables import table

INTRODUCTION = "Written by `make bench`; run it on your own machine to write this page anew."
HEAD = ("", "what", "measured", "interval or spread", "goal")


def page(results: Results, machine: Mapping[str, str], day: date) -> str:
    """Return the present results as Markdown; the whole page if all are present."""
    parts = [
        "# Benchmarks",
        INTRODUCTION,
        "## Goals",
        table(HEAD, [each.row for each in goals(results)]),
    ]
    parts += [part for each in _sections(results) for part in each]
    facts = [*machine.items(), ("Date", day.isoformat())]
    parts += ["## Machine", table(("", ""), facts)]
    return "\n\n".join(parts) + "\n"


def goals(results: Results) -> list[Goal]:
    """Return a row for each goal of the parts that were measured."""
    rows: list[Goal] = []
    if results.holds:
        rows += report_hold.goals(results.holds)
    if results.crowded and results.holds:
        rows.append(report_load.crowd_goal(results.crowded, results.holds))
    if results.flooded:
        rows.append(report_load.flood_goal(results.flooded))
        rows += report_load.one_goals(results.flooded)
    if results.followed:
        rows.append(report_costs.following_goal(results.followed))
    if results.weighed:
        rows += report_costs.memory_goals(results.weighed)
    if results.ticked:
        rows += report_costs.ticking_goals(results.ticked)
    if results.scaled:
        rows += report_scale.goals(results.scaled)
    rows += report_remote.goals(results)
    if results.begun:
        rows.append(report_punctual.goal_row(results.begun))
    return rows


def _sections(results: Results) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    if results.holds:
        found.append(report_hold.section(results.holds))
    if results.crowded and results.holds:
        found.append(report_load.crowd_section(results.crowded, results.holds))
    if results.flooded:
        found.append(report_load.flood_section(results.flooded))
    if results.followed:
        found.append(report_costs.following_section(results.followed))
    if results.weighed:
        found.append(report_costs.memory_section(results.weighed))
    if results.ticked:
        found.append(report_costs.ticking_section(results.ticked))
    if results.scaled:
        found.append(report_scale.section(results.scaled))
    found += report_remote.sections(results)
    if results.begun:
        found.append(report_punctual.section(results.begun))
    return found
