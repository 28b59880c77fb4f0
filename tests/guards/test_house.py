"""The project keeps its layout and sizes, and nothing ties it to one machine."""

import ast
import os
import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.guards import tree

MAX_LINES_OF_A_FILE = 400
MAX_LINES_OF_A_FUNCTION = 60
# What a command writes is as long as what it has measured.
WRITTEN = {"docs/benchmarks.md", "docs/reliability.md", "docs/soak.md"}

MUST_STAND = {
    ".ci",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "THREAT_MODEL.md",
    "deploy",
    "docs",
    "manage.py",
    "n2w",
    "n2wbackup",
    "policies",
    "pyproject.toml",
    "requirements-dev.in",
    "requirements-dev.txt",
    "requirements.in",
    "requirements.txt",
    "scripts_admin",
    "templates",
    "tests",
    "tools",
}
MAY_STAND = {".editorconfig", "CONTRIBUTING.md", "static"}
TARGETS = {
    *("help", "setup", "demo", "test", "test-fast", "coverage", "ci"),
    *("check", "bench", "profile", "faults", "soak", "servers", "lock"),
}
MAKEFILE = (tree.ROOT / "Makefile").read_text()

# Joined here, so that this file does not find itself.
HOSTS_OF_INDEXES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
    )
]
PATHS_OF_A_MACHINE = re.compile(r"(?<![\w.~}-])/(?:work|root)/")


def test_the_first_level_holds_what_the_layout_names_and_nothing_else() -> None:
    found = tree.top_level()

    assert sorted(MUST_STAND - found) == [], "missing"
    assert sorted(found - MUST_STAND - MAY_STAND) == [], "not part of the layout"


def test_no_file_is_longer_than_a_sitting() -> None:
    suffixes = (".py", ".sh", ".html", ".css", ".js", ".toml", ".md", "Makefile", ".ci/run")
    lengths = {name: text.count("\n") for name, text in tree.sources(*suffixes)}

    assert lengths.keys() >= WRITTEN
    lengths = {name: n for name, n in lengths.items() if name not in WRITTEN}
    assert {name: n for name, n in lengths.items() if n > MAX_LINES_OF_A_FILE} == {}


def _functions(text: str) -> Iterator[tuple[str, int]]:
    """Name and length in lines of every function, decorators and docstring included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            yield node.name, (node.end_lineno or first) - first + 1


def test_no_function_is_longer_than_a_screen() -> None:
    too_long = [
        f"{name}: {function} has {length} lines"
        for name, text in tree.sources(".py")
        for function, length in _functions(text)
        if length > MAX_LINES_OF_A_FUNCTION
    ]

    assert too_long == []


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}

    assert [str(path) for path in tree.files() if path.name in drawers] == []


def test_nothing_is_left_to_do_later() -> None:
    mark = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")

    assert [
        name for name, text in tree.sources(".py", ".sh", ".html", ".md") if mark.search(text)
    ] == []


@pytest.mark.parametrize("host", HOSTS_OF_INDEXES)
def test_where_packages_come_from_is_the_machines_own_matter(host: str) -> None:
    assert [name for name, text in tree.texts() if host in text] == []


def test_no_path_of_one_machine_is_in_the_tree() -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in tree.texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if PATHS_OF_A_MACHINE.search(line)
    ]

    assert found == []


def test_the_makefile_has_the_targets_that_are_promised() -> None:
    documented = set(re.findall(r"^([a-z-]+):[^#\n]*## \S", MAKEFILE, flags=re.MULTILINE))

    assert documented == TARGETS


def test_every_program_that_make_and_ci_call_is_there_and_executable() -> None:
    callers = [tree.ROOT / "Makefile", tree.ROOT / ".ci" / "run"]
    called = {
        match for caller in callers for match in re.findall(r"tools/[\w.-]+", caller.read_text())
    }

    assert called
    for program in [".ci/run", *called]:
        assert os.access(tree.ROOT / program, os.X_OK), program


def _recipe(target: str) -> str:
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert found, target
    return found[1]


def _variable(name: str) -> list[str]:
    found = re.search(rf"^{name} := (.*)$", MAKEFILE, re.MULTILINE)
    assert found, name
    return found[1].split()


def test_ci_checks_and_tests() -> None:
    assert re.search(r"^exec make .*\bci$", (tree.ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert _recipe("ci").split() == ["tools/stages.sh", "setup", "check-and-compile", "$(STAGES)"]
    assert _recipe("test").split() == ["tools/stages.sh", "$(STAGES)"]


def test_every_folder_of_tests_is_run_by_a_stage() -> None:
    parts = re.findall(r"test-\w+", _recipe("test-parts"))
    recipes = "".join(map(_recipe, [*_variable("STAGES"), *parts]))
    with_tests = {
        f"tests/{path.relative_to(tree.ROOT / 'tests').parts[0]}"
        for path in tree.files(tree.ROOT / "tests")
        if path.name.startswith("test_")
    }

    assert "$(TESTS_OF_PARTS)" in recipes
    assert with_tests <= {
        *re.findall(r"(?<!ignore=)tests/\w+", recipes),
        *_variable("TESTS_OF_PARTS"),
    }


def _rules_without_reason(text: str) -> Iterator[str]:
    """Entries of ruff's ignore lists without a comment."""
    section = text[text.index("[tool.ruff.lint]") : text.index("[tool.mypy]")]
    for line in section.splitlines():
        if re.match(r'\s+"[A-Z]+[0-9]*",', line) and not re.search(r"# \w", line):
            yield line.strip()


def test_every_rule_that_is_switched_off_has_its_reason() -> None:
    text = (tree.ROOT / "pyproject.toml").read_text()
    settings = tomllib.loads(text)["tool"]["ruff"]["lint"]

    assert settings["select"] == ["ALL"]
    assert list(_rules_without_reason(text)) == []


def test_every_rule_that_is_switched_off_in_a_line_is_named() -> None:
    nameless = re.compile(
        r"#\s*(?:no" + r"qa(?!:)|type:\s*ignore(?!\[)|ru" + r"ff:\s*noqa)", re.IGNORECASE
    )

    assert [name for name, text in tree.sources(".py") if nameless.search(text)] == []
