"""A result is kept as a file, and two results are compared as far as their spreads allow."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import comparison, outcomes
from tests.bench.goals import Figure, Goal, drawn, exact, once
from tests.bench.outcomes import NoResultError, Outcome

MACHINE = {"CPU": "one", "Kernel": "Linux 6"}
BEGAN = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)


def result(size: str = "full", **figures: Figure) -> Outcome:
    goals = [Goal("g", name, figure, "", "", "") for name, figure in figures.items()]
    return outcomes.outcome(goals, at=BEGAN, size=size, load=0.25, machine=MACHINE)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = result(tick=drawn([1.0, 2.0, 3.0], unit="ms"), memory=once(5, "MB"), calls=exact(4))
    place = tmp_path / "made" / "one.json"

    outcomes.write(made, place)

    assert outcomes.read(place) == made
    kept = json.loads(place.read_text(encoding="utf-8"))
    assert kept["at"] == "2026-06-01T12:30:00+00:00"
    assert kept["commit"]
    assert kept["load"] == 0.25
    assert kept["machine"] == MACHINE
    assert kept["figures"][1] == {
        "part": "g", "what": "memory", "value": 5, "unit": "MB", "low": None, "high": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("# Benchmarks", "is no result of `make bench`: it is not JSON."),
        ("[]", "is no result of `make bench`: name one of the files in .bench/."),
        ('{"form": "other"}', "is no result of `make bench`: name one of the files in .bench/."),
        ('{"form": "n2wbackup bench", "version": 2}', "has form 2, and this bench reads form 1"),
        (
            '{"form": "n2wbackup bench", "version": 1}',
            "is damaged: a part of the result is missing.",
        ),
        (None, "cannot be read (No such file or directory)."),
    ],
)
def test_another_file_is_refused_with_a_sentence_before_anything_is_measured(
    content: str | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "other"
    if content is not None:
        place.write_text(content, encoding="utf-8")

    with pytest.raises(NoResultError) as refused:
        outcomes.read(place)
    with pytest.raises(SystemExit) as left:
        bench.arguments(["--compare", str(place)])

    assert sentence in str(refused.value)
    assert left.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"at": 5}, "is damaged: `at` is not a text."),
        ({"commit": None}, "is damaged: `commit` is not a text."),
        ({"size": ["full"]}, "is damaged: `size` is not a text."),
        ({"size": "\ud800"}, "is damaged: `size` is not a text."),
        ({"machine": []}, "is damaged: `machine` is not an object."),
        ({"machine": {"CPU": 5}}, "is damaged: `CPU` is not a text."),
        ({"load": 10**400}, "is damaged: `load` is not a finite number."),
        ({"load": float("nan")}, "is damaged: `load` is not a finite number."),
        ({"load": "5"}, "is damaged: `load` is not a finite number."),
        ({"figures": {}}, "is damaged: `figures` is not a list."),
        ({"figures": [[]]}, "is damaged: a figure is not an object."),
        ({"figures": [{"part": "g"}]}, "is damaged: a part of the result is missing."),
        (
            {"figures": [{"part": "g", "what": 5, "value": 1, "unit": "", "low": 1, "high": 1}]},
            "is damaged: `what` is not a text.",
        ),
        (
            {"figures": [{"part": "g", "what": "a", "value": 1, "unit": "", "low": [], "high": 1}]},
            "is damaged: `low` is not a finite number.",
        ),
    ],
)
def test_a_damaged_result_is_refused_with_a_sentence(
    wrong: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    place = tmp_path / "one"
    outcomes.write(result(calls=exact(4)), place)
    place.write_text(json.dumps(json.loads(place.read_text(encoding="utf-8")) | wrong))

    with pytest.raises(NoResultError) as refused:
        outcomes.read(place)

    assert str(refused.value) == f"{place} {sentence}"


def test_what_is_nested_too_deeply_is_refused_with_a_sentence(tmp_path: Path) -> None:
    place = tmp_path / "one"
    place.write_text("[" * 200_000 + "]" * 200_000)

    with pytest.raises(NoResultError, match="is no result of `make bench`: it is nested too deep"):
        outcomes.read(place)


def test_a_second_result_alone_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes.write(result(calls=exact(4)), tmp_path / "one")

    with pytest.raises(SystemExit) as left:
        bench.arguments(["--of", str(tmp_path / "one")])

    assert left.value.code == 2
    assert "--of needs --compare" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (Figure(10, "ms", 9, 11), Figure(8, "ms", 7, 8.9), "lower"),
        (Figure(10, "ms", 9, 11), Figure(8, "ms", 7, 9), "no difference beyond the spread"),
        (Figure(10, "ms", 9, 11), Figure(13, "ms", 12, 14), "higher"),
        (once(10), Figure(1, "ms", 1, 1), "cannot be told: measured once"),
        (Figure(1, "ms", 1, 1), once(10), "cannot be told: measured once"),
        (exact(4), exact(4), "the same"),
        (exact(4), exact(5), "higher"),
    ],
)
def test_a_difference_is_told_only_where_the_intervals_are_apart(
    old: Figure, new: Figure, words: str
) -> None:
    assert comparison.verdict(old, new) == words


def test_the_table_has_old_new_and_their_ratio() -> None:
    old, new = result(tick=Figure(4, "ms", 3, 5)), result(tick=Figure(2, "ms", 1, 2.5))

    text = comparison.text(old, new)

    assert "| g | tick | 4 ms (3 to 5) | 2 ms (1 to 2.5) | **0.50** | lower |" in text
    assert "| Load when it began | 0.25 | 0.25 |" in text
    assert "differ" not in text.replace("A difference", "")


def test_a_figure_of_nothing_has_no_ratio() -> None:
    text = comparison.text(result(excess=exact(0)), result(excess=exact(0)))

    assert "| g | excess | 0 | 0 |  | the same |" in text


def test_what_makes_a_comparison_doubtful_is_told() -> None:
    old = result("quick", tick=exact(4), gone=exact(1))
    new = replace(result(tick=exact(4), come=exact(1)), machine={**MACHINE, "CPU": "two"})

    text = comparison.text(old, new)

    assert "- The machines differ (CPU): believe counts and ratios, not seconds and bytes." in text
    assert "- The old one is quick and the new one full: sizes differ." in text
    assert "- Only in the old one: gone." in text
    assert "- Only in the new one: come." in text


def test_parts_that_were_not_measured_again_are_not_missed() -> None:
    old = result(tick=exact(4))
    kept = replace(old, figures={**old.figures, ("a", "Hold"): exact(1)})

    assert "Only in the old one" not in comparison.text(kept, result(tick=exact(4)))


def test_nothing_in_common_is_told() -> None:
    assert "no figure in common" in comparison.text(result(), result(tick=exact(4)))


def test_two_files_are_compared_without_a_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [tmp_path / name for name in ("old", "new")]
    outcomes.write(result(calls=exact(4)), places[0])
    outcomes.write(result(calls=exact(2)), places[1])
    words = ["bench", "--compare", str(places[0]), "--of", str(places[1])]
    monkeypatch.setattr("sys.argv", words)

    bench.main()

    assert "| g | calls | 4 | 2 | **0.50** | lower |" in capsys.readouterr().out
