"""Proofs: what was said inside an image, whether it agrees, what it costs, and when one is due."""

from datetime import UTC, datetime, timedelta

import pytest

from policies.domain import proofs
from policies.domain.proofs import Findings, Recipe

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def test_what_a_recipe_says_is_read_and_what_others_print_is_only_kept() -> None:
    found = proofs.findings(
        "n2w server postgres (PostgreSQL) 15.18\n"
        "n2w up 0.16\n"
        "n2w redo 4765784 redo done at 0/A8C030\n"
        "| n2w mark found\n"
        "n2w mark missing\n"
        "n2w younger 2\n"
        "n2w verify 7\n"
        "n2w\n"
        "n2w redo none\n"
        "something else\n"
    )

    assert (found.server, found.is_up, found.up_seconds) == (
        "postgres (PostgreSQL) 15.18",
        True,
        0.16,
    )
    assert (found.redo_bytes, found.redo) == (4765784, "redo done at 0/A8C030")
    assert (found.mark, found.younger, found.verify) == ("missing", 2, 7)
    assert found.printed == ["n2w mark found"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Findings(mark="found"), ""),
        (Findings(mark="found", verify=0), ""),
        (Findings(mark="none", verify=0), ""),
        (Findings(mark="missing"), "the mark of its run is not in it"),
        (Findings(mark="none"), "no table or file n2wbackup_marks"),
        (Findings(), "no table or file n2wbackup_marks"),
        (Findings(mark="found", verify=3), "exit code 3"),
        (Findings(mark="found", younger=1), "1 mark is younger"),
        (Findings(mark="found", verify=0, younger=2), "2 marks are younger"),
    ],
)
def test_a_snapshot_agrees_if_the_mark_is_found_and_nothing_younger(
    found: Findings, words: str
) -> None:
    said = proofs.disagreement(found)

    assert words in said
    assert bool(said) == bool(words)


def test_a_proof_costs_a_fraction_of_a_cent_and_a_full_reading_of_100_gib_61_cents() -> None:
    assert proofs.cost_usd(48, 2 * 2249) < 0.001
    assert proofs.cost_usd(204_800, 204_800) == pytest.approx(0.7373, abs=0.13)
    assert proofs.in_words(3, 2.04, 0.00031) == "level 3, 2.0 s, $0.0003"
    assert proofs.in_words(0, None, 0.00004) == "level 0, under $0.0001"
    assert [proofs.dollars(cost) for cost in (0, 0.00005, 1.5)] == ["$0.0000", "$0.0001", "$1.5000"]


@pytest.mark.parametrize(
    ("recipe", "names", "is_data"),
    [
        (Recipe.POSTGRESQL, ["PG_VERSION", "global", "base"], True),
        (Recipe.POSTGRESQL, ["PG_VERSION"], False),
        (Recipe.MARIADB, ["ibdata1", "mysql"], True),
        (Recipe.REDIS, ["dump.rdb"], True),
        (Recipe.REDIS, ["appendonlydir"], True),
        (Recipe.FILES, ["dump.rdb"], False),
    ],
)
def test_a_data_folder_is_known_by_what_only_it_has(
    recipe: str, names: list[str], is_data: bool
) -> None:
    assert proofs.is_data(recipe, names) is is_data


def test_a_policy_is_due_once_in_every_period_at_a_moment_of_its_own() -> None:
    slots = {key: proofs.slot(key, 7, NOW) for key in range(50)}

    assert all(NOW - timedelta(days=7) < at <= NOW for at in slots.values())
    assert len(set(slots.values())) > 40
    assert proofs.slot(3, 7, NOW + timedelta(days=7)) == slots[3] + timedelta(days=7)


def test_a_policy_is_overdue_after_one_and_a_half_periods_without_a_proof_that_passed() -> None:
    since = NOW - timedelta(days=100)

    assert not proofs.is_overdue(NOW - timedelta(days=10), since, 7, NOW)
    assert proofs.is_overdue(NOW - timedelta(days=11), since, 7, NOW)
    assert proofs.is_overdue(None, since, 7, NOW)
    assert not proofs.is_overdue(None, NOW - timedelta(days=10), 7, NOW)
    assert not proofs.is_overdue(None, since, 0, NOW)
