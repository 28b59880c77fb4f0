"""The pins are complete: each has its hash, both files agree, and every requirement is pinned."""

import re
from pathlib import Path

import pytest

from tests.guards import tree

PINS = ["requirements.txt", "requirements-dev.txt"]


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _blocks(file_name: str) -> list[str]:
    """One text for each pinned package: its line, its hashes, its comments."""
    text = (tree.ROOT / file_name).read_text()
    return re.split(r"\n(?=\S)", text.strip())


def _pins(file_name: str) -> dict[str, set[str]]:
    """Package to its versions; more than one where they depend on the version of Python."""
    pins: dict[str, set[str]] = {}
    for block in _blocks(file_name):
        name, version = block.split(" ")[0].split("==")
        pins.setdefault(_normalised(name.split("[")[0]), set()).add(version)
    return pins


def _wishes(file_name: str) -> set[str]:
    lines = (tree.ROOT / file_name).read_text().splitlines()
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines if not line.startswith("#"))
    return {_normalised(name[0]) for name in names if name}


@pytest.mark.parametrize("file_name", PINS)
def test_every_pin_is_exact_and_has_a_hash(file_name: str) -> None:
    pin = re.compile(r"[A-Za-z0-9._-]+==[^\s;]+( ; [^\\\n]+)? \\\n +--hash=sha256:[0-9a-f]{64}")

    assert [block for block in _blocks(file_name) if not pin.match(block)] == []


@pytest.mark.parametrize("file_name", PINS)
def test_no_option_tells_where_packages_come_from(file_name: str) -> None:
    assert (
        re.findall(r"^\s*-(?!-hash=).*$", (tree.ROOT / file_name).read_text(), re.MULTILINE) == []
    )


@pytest.mark.parametrize("file_name", PINS)
def test_every_wish_is_pinned(file_name: str) -> None:
    wishes = _wishes(Path(file_name).with_suffix(".in").name)

    assert wishes
    assert wishes - _pins(file_name).keys() == set(), "run `make lock`"


def test_what_runs_and_what_tests_it_are_pinned_alike() -> None:
    runs, tests = (_pins(file_name) for file_name in PINS)
    differing = {name: (runs[name], tests[name]) for name in runs.keys() & tests.keys()}

    assert {name: pair for name, pair in differing.items() if pair[0] != pair[1]} == {}


def test_the_simulator_is_not_needed_to_run() -> None:
    assert "moto" not in _pins("requirements.txt")
