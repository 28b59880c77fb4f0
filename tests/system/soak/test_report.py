"""The page and the lines of the soak say what was found."""

import dataclasses
from typing import Any, cast

import pytest

from tests.system.soak import judge, made_up, report
from tests.system.soak.judge_growth import MIB
from tests.system.soak.made_up import T0, lived, struck
from tests.system.soak.soak import Soaked
from tests.system.soak.watching import Sample, Watch


@pytest.fixture
def soaked() -> Soaked:
    evidence = made_up.evidence()
    names = {"SIGKILL of a guard": 3, "SIGKILL of the freeze worker": 3.5, "SIGKILL of web": 9}
    evidence.strikes = [struck(name, T0 + at) for name, at in names.items()]
    evidence.stretches = [lived(lambda n: Sample(T0 + n, 50 * MIB, 9))]
    watch = Watch(cast("Any", None), lambda _: None, frozen_seconds={"one.a": 8.25})
    return Soaked(7, 30, evidence, [], watch, 12.0, ["one", "one", "two"])


def test_a_page_without_a_fault_says_so(soaked: Soaked) -> None:
    page = report.page(soaked, {"CPU": "a slow one"})

    assert (
        "**4 runs, 3 strikes, 0 things not as demanded. 0 due times lost, 0 of before, fire" in page
    )
    assert "| succeeded | application | 4 |" in page
    assert "| SIGKILL of a guard | 1 | 2 | - | - |" in page
    assert "| SIGKILL of the freeze worker | 1 | 2 | 3.50 s | 1 s |" in page
    assert "| web | 595 s | 50.0 MiB | 50.0 MiB | 9 | 9 |" in page
    assert "| start of before to start of after, longest | 5.00 s |" in page
    assert "| CPU | a slow one |" in page
    assert "Not as demanded" not in page


def test_a_page_names_what_is_wrong_and_counts_it(soaked: Soaked) -> None:
    evidence = soaked.evidence
    evidence.strikes.clear()
    gone = evidence.runs.pop()
    del evidence.marks[gone.id], evidence.made[gone.id]
    evidence.made[evidence.runs[0].id][0].set_id = "another"
    evidence.left = ["frozen: ['one.a']"]
    wrong = judge.judge(evidence)

    page = report.page(dataclasses.replace(soaked, wrong=wrong), {})

    assert "3 things not as demanded. 1 due times lost, 1 of before, fire" in page
    assert "1 applications left frozen" in page
    assert "- frozen: ['one.a']" in page


def test_the_lines_tell_the_seed_and_every_wrong(soaked: Soaked) -> None:
    told = "\n".join(report.lines(dataclasses.replace(soaked, wrong=["this is wrong"])))

    assert "    4 succeeded, application" in told
    assert "3 alarms were told, 2 different ones" in told
    assert "WRONG: this is wrong" in told
    assert "seed 7, 30 minutes: 1 things not as demanded" in told
