"""Every recipe of the docs can be filled in by a form that is read from its own settings."""

import subprocess
from pathlib import Path

import pytest

from scripts_admin.domain import file_names
from scripts_admin.folders import recipes
from scripts_admin.folders.recipes import Recipe

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

    assert len(made) == len(recipe.files)
    for name, content in made.items():
        assert file_names.why_not_given(name) == ""
        assert "shop" in name
        for other in recipe.files:
            assert other.encode() not in content, (name, other)


@RECIPES
def test_the_shell_reads_what_was_filled_in_and_runs_none_of_it(
    recipe: Recipe, tmp_path: Path
) -> None:
    wanted = {each.name: f"{EVIL}1\n{EVIL}2" if each.is_list else EVIL for each in recipe.settings}
    for name, content in recipes.made(recipe, "shop", wanted).items():
        (tmp_path / name).write_bytes(content)

    conf = next(tmp_path.glob("*.conf"))
    names = [each.name for each in recipe.settings]
    reads = f"folder=/f; . {conf}; for n in {' '.join(names)}; do declare -n v=$n; {_PRINTS}; done"
    told = subprocess.run(["bash", "-c", reads], capture_output=True, text=True, check=True)

    expected = []
    for each in recipe.settings:
        lines = wanted[each.name].split("\n")
        expected += [str(len(lines)), *lines]
    assert told.stdout.split("\0")[:-1] == expected
    assert not told.stderr


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
