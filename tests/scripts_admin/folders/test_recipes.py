"""Every recipe of the docs can be filled in by a form that is read from its own settings."""

import subprocess
from pathlib import Path

import pytest

from scripts_admin.domain import file_names, remote
from scripts_admin.domain import recipes as domain
from scripts_admin.domain.lint import rules
from scripts_admin.domain.lint.script import Script
from scripts_admin.domain.remote import Remote
from scripts_admin.folders import recipes
from scripts_admin.folders.recipes import Recipe
from scripts_admin.runners import far, ssm_texts

EVIL = 'a\'b "c" $(exit 9) `id` \\ # $folder ;'


_PRINTS = 'printf "%s\\0" "${#v[@]}" "${v[@]}"'


def slug(recipe: Recipe) -> str:
    return recipe.slug


RECIPES = pytest.mark.parametrize("recipe", recipes.every(), ids=slug)


def test_all_recipes_of_the_docs_are_offered() -> None:
    assert {each.slug for each in recipes.every()} == {
        *("fsfreeze-on-this-machine", "fsfreeze-over-ssh", "generic", "redis"),
        *("mariadb-client-on-server", "mariadb-over-ssh"),
        *("postgresql-client-on-server", "postgresql-over-ssh"),
        *("fsfreeze-on-the-instance", "generic-on-the-instance"),
        *("mariadb-on-the-instance", "postgresql-on-the-instance"),
    }


@RECIPES
def test_each_setting_is_a_field_with_the_words_of_its_comment(recipe: Recipe) -> None:
    conf = recipe.files[recipe.conf]
    lines = [line for line in conf.splitlines() if "=" in line and not line.startswith("#")]

    assert len(recipe.settings) == len(lines)
    assert any(each.is_number for each in recipe.settings)
    for setting in recipe.settings:
        assert setting.about in conf


@RECIPES
def test_nothing_filled_in_leaves_the_recipe_as_it_is_but_for_its_names(recipe: Recipe) -> None:
    made = recipes.made(recipe, "shop", {each.name: each.value for each in recipe.settings})

    assert len(made) == len(recipe.scripts)
    for name, content in made.items():
        assert file_names.why_not_given(name) == ""
        assert "shop" in name
        for other in () if recipe.is_on_instance else recipe.files:
            assert other.encode() not in content, (name, other)


@RECIPES
def test_the_shell_reads_what_was_filled_in_and_runs_none_of_it(
    recipe: Recipe, tmp_path: Path
) -> None:
    wanted = {each.name: f"{EVIL}1\n{EVIL}2" if each.is_list else EVIL for each in recipe.settings}
    conf = tmp_path / "conf"
    conf.write_text(settings_in(recipe, wanted))
    names = [each.name for each in recipe.settings]
    reads = f"folder=/f; . {conf}; for n in {' '.join(names)}; do declare -n v=$n; {_PRINTS}; done"
    told = subprocess.run(["bash", "-c", reads], capture_output=True, text=True, check=True)

    expected = []
    for each in recipe.settings:
        lines = wanted[each.name].split("\n")
        expected += [str(len(lines)), *lines]
    assert told.stdout.split("\0")[:-1] == expected
    assert not told.stderr


def settings_in(recipe: Recipe, values: dict[str, str]) -> str:
    """Return the settings as they stand in each file that has them."""
    made = {name: text.decode() for name, text in recipes.made(recipe, "shop", values).items()}
    if not recipe.is_on_instance:
        return next(text for name, text in made.items() if name.endswith(".conf"))
    filled = domain.filled(recipe.files[recipe.conf], values).rstrip()
    assert all(filled in text for text in made.values())
    return filled


ON_INSTANCES = pytest.mark.parametrize(
    "recipe", [each for each in recipes.every() if each.is_on_instance], ids=slug
)


@ON_INSTANCES
def test_what_runs_on_an_instance_is_one_file_for_each_phase_that_needs_no_other(
    recipe: Recipe,
) -> None:
    one = "i-0123456789abcdef0"
    made = recipes.made(recipe, "shop", {}, one)

    assert set(made) == {f"before_shop@{one}.sh", f"after_shop@{one}.sh"}
    assert set(recipes.made(recipe, "shop", {})) == {"before_shop@all.sh", "after_shop@all.sh"}
    for name, content in made.items():
        assert content.startswith(b"#!/bin/bash\n")
        assert remote.why_not_carried(content, name) == ""
        assert b"\n. ./" not in content
        assert content.count(b"#!/bin/bash") == 1


@ON_INSTANCES
@pytest.mark.parametrize("by", ["ssh", "ssm"])
def test_lint_says_nothing_of_a_recipe_for_instances(recipe: Recipe, by: str) -> None:
    how = Remote(by=by, user="backup" if by == "ssh" else "", sudo=by == "ssh").filled()
    told = [
        remark
        for name, content in recipes.made(recipe, "shop", {}).items()
        for remark in rules.of_script(Script(name, content.decode()), how=how)
    ]

    assert told == []


@ON_INSTANCES
def test_ssm_takes_a_recipe_for_instances_packed(recipe: Recipe) -> None:
    scripts = {
        name.partition("_")[0]: far.Carried(name, content)
        for name, content in recipes.made(recipe, "shop", {}).items()
    }

    ssm_texts.texts(far.Order("f00d" * 8, scripts["before"], scripts["after"]))


@RECIPES
def test_a_file_beside_the_scripts_can_be_named(recipe: Recipe, tmp_path: Path) -> None:
    if not any(each.name == "ssh_key" for each in recipe.settings):
        pytest.skip("it needs no key")
    made = recipes.made(recipe, "shop", {"ssh_key": "$folder/my key"})
    conf = tmp_path / "conf"
    conf.write_bytes(next(text for name, text in made.items() if name.endswith(".conf")))

    told = subprocess.run(
        ["bash", "-c", f'folder=/f; . {conf}; printf %s "$ssh_key"'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert told == "/f/my key"


@RECIPES
def test_each_file_is_still_a_script_that_the_shell_reads(recipe: Recipe, tmp_path: Path) -> None:
    for name, content in recipes.made(recipe, "shop", {"deadline_seconds": "90"}).items():
        (tmp_path / name).write_bytes(content)
        subprocess.run(["bash", "-n", tmp_path / name], check=True)
