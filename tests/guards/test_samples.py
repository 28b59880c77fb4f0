"""The samples of the pages work: documents can be read, commands and make targets exist."""

import re
import shlex
import textwrap
from collections.abc import Iterator

import pytest
from django.core.management import BaseCommand, CommandError, get_commands, load_command_class

from n2wbackup.settings.ages import AGES
from policies.domain.document import fields, keys
from policies.domain.document.kinds import Kind
from tests.guards import tree

APPS = ("n2wbackup", "policies", "scripts_admin")
BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<kind>\w+)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
IN_A_LINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
OPTION = re.compile(r"--[a-z][a-z-]*")


def _blocks(kind: str) -> Iterator[tuple[str, str]]:
    """Page and line of each fenced block of this kind, and its text without the list's indent."""
    for name, text in tree.pages():
        for match in BLOCK.finditer(text):
            if match["kind"] == kind:
                line = text.count("\n", 0, match.start()) + 2
                yield f"{name}:{line}", textwrap.dedent(match["body"])


def _typed(block: str) -> Iterator[list[str]]:
    """The words of each command behind a prompt; a line that ends in a backslash continues."""
    for line in block.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            yield shlex.split(line.removeprefix("$ "), comments=True)


def _wrong_with_document(text: str) -> list[str]:
    return [f"{place.field}: {sentence}" for place, sentence in keys.read(text)[1]]


def _load(name: str) -> BaseCommand | None:
    app = get_commands().get(name)
    return app if app is None or isinstance(app, BaseCommand) else load_command_class(app, name)


def _wrong_with_command(words: list[str]) -> str:
    """Return why manage.py would refuse these words; "" if it accepts them, or if they do not call it."""
    place = next((n for n, word in enumerate(words) if word.endswith("manage.py")), None)
    if place is None:
        return ""
    name, *arguments = words[place + 1 :]
    command = _load(name)
    if command is None:
        return f"there is no command {name}"
    try:
        command.create_parser("manage.py", name).parse_args(arguments)
    except CommandError as error:
        return f"{name}: {error}"
    return ""


def _targets() -> set[str]:
    makefile = (tree.ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, flags=re.MULTILINE))


def _wrong_with_make(words: list[str], targets: set[str]) -> str:
    if words[:1] != ["make"]:
        return ""
    asked = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
    return ", ".join(f"make has no target {word}" for word in asked if word not in targets)


def _rows_of_commands() -> dict[str, set[str]]:
    """Each command in the first column of docs/commands.md, with its options."""
    found: dict[str, set[str]] = {}
    text = (tree.ROOT / "docs/commands.md").read_text()
    for line in text[: text.index("## make")].splitlines():
        if line.startswith("| `"):
            for code in IN_A_LINE.findall(line.replace(r"\|", "/").split(" | ")[0]):
                found.setdefault(code.split()[0], set()).update(OPTION.findall(code))
    return found


def test_apply_reads_every_document_of_the_pages() -> None:
    samples = dict(_blocks("yaml"))

    assert samples
    assert {
        at: wrong for at, text in samples.items() if (wrong := _wrong_with_document(text))
    } == {}


def test_manage_takes_every_command_of_the_pages() -> None:
    typed = [(at, words) for at, block in _blocks("console") for words in _typed(block)]

    assert typed
    assert [f"{at}: {wrong}" for at, words in typed if (wrong := _wrong_with_command(words))] == []


def test_make_has_every_target_of_the_pages() -> None:
    typed = [(at, words) for at, block in _blocks("console") for words in _typed(block)]
    typed += [
        (name, code.split()) for name, text in tree.pages() for code in IN_A_LINE.findall(text)
    ]
    targets = _targets()

    assert [
        f"{at}: {wrong}" for at, words in typed if (wrong := _wrong_with_make(words, targets))
    ] == []


def test_every_command_is_in_the_table_of_commands_with_options_that_it_has() -> None:
    ours = {name for name, app in get_commands().items() if app in APPS}
    rows = _rows_of_commands()

    assert sorted(rows) == sorted(ours)
    for name, options in rows.items():
        command = _load(name)
        assert command is not None
        known = set(OPTION.findall(command.create_parser("manage.py", name).format_help()))
        assert options <= known, name


@pytest.mark.parametrize(
    "text",
    [
        "policies:\n  - {owner: alice, name: shop, retry: {count: 1}}\n",
        "policies:\n  - {name: shop}\n",
        "users: [{name: alice, superuser: maybe}]\n",
        "owner: alice\n",
        "users: [\n",
        "",
    ],
)
def test_a_document_that_apply_would_refuse_is_found(text: str) -> None:
    assert _wrong_with_document(text)


@pytest.mark.parametrize(
    "line",
    [
        "$ .venv/bin/python manage.py run_polcy alice/shop",
        "$ .venv/bin/python manage.py run_policy alice/shop --wiat",
        "$ .venv/bin/python manage.py run_policy alice/shop --wait --here",
        "$ A=b .venv/bin/python manage.py \\\n    show_run",
    ],
)
def test_a_command_that_manage_would_refuse_is_found(line: str) -> None:
    (words,) = _typed(line)

    assert _wrong_with_command(words)


def test_a_target_that_make_does_not_have_is_found() -> None:
    assert _wrong_with_make(["make", "demmo", "ARGS=--once"], _targets())
    assert not _wrong_with_make(["make", "demo", "ARGS=--once"], _targets())


@pytest.mark.parametrize("field", fields.POLICY, ids=lambda field: field.key)
def test_every_setting_of_a_policy_stands_in_the_configuration(field: fields.Setting) -> None:
    told = (tree.ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    if field.kind == Kind.NUMBER:
        assert (
            f"| `{field.key}` | {field.default:,} | {field.low:,}\N{EN DASH}{field.high:,} |"
            in told
        )
    elif field.kind == Kind.TRUTH:
        assert f"| `{field.key}` | `{str(field.default).lower()}` | |" in told
    else:
        assert f"| `{field.key}` |" in told


def test_every_age_stands_in_the_configuration_with_its_default() -> None:
    told = (tree.ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for age in AGES.values():
        assert f"| `{age.variable}` | {age.days} | {age.least} |" in told
