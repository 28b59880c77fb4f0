"""A schedule, beat and the workers: a backup that no person starts."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.ground import processes
from tests.system.product import LABEL, Product, serving

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(90)]


def runs(product: Product) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        product.succeed("list_runs", "--policy", LABEL, "--json")
    )["runs"]
    return found


def test_what_is_due_is_backed_up_by_itself_once_a_minute() -> None:
    with processes.folder() as folder, serving(folder / "home", folder) as product:
        product.scripts()
        start = datetime.now(UTC)
        every = {"every": {"minutes": 1}, "starting": f"{start:%Y-%m-%dT%H:%M}"}
        product.apply([product.instance], every)
        stands = datetime.now(UTC)

        processes.wait_until(
            lambda: any(run["state"] == "succeeded" for run in runs(product)),
            seconds=100,
            what="the scheduled run",
        )
        product.apply([product.instance], every, enabled=False)
        made, marks = runs(product), product.marks("after", "start")

    first = made[-1]
    due = datetime.fromisoformat(first["scheduled_for"])
    assert (first["trigger"], first["consistency"]) == ("schedule", "application")
    assert (due.second, due.microsecond) == (0, 0)
    assert start < due <= stands + timedelta(minutes=1), "the first minute after it stood"
    assert datetime.fromisoformat(first["started_at"]) >= due
    assert len({run["scheduled_for"] for run in made}) == len(made) <= 2
    assert {mark.argument for mark in marks} == {"1"}
