"""Which names a file may get, and what the names in a folder mean."""

import pytest

from scripts_admin.domain import file_names
from scripts_admin.domain.file_names import Role
from scripts_admin.domain.phases import Phase


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "needs a name"),
        ("../x", "has no slash"),
        ("/etc/passwd", "has no slash"),
        ("..", "has no slash"),
        ("a\0b", r"there is U+0000 in it"),
        ("a\nb", "there is U+000A in it"),
        ("x" * 300, "more than 200 bytes"),
        ("b\N{CYRILLIC SMALL LETTER IE}fore_p.sh", "U+0435 CYRILLIC SMALL LETTER IE"),
        ("-rf", "leading dash"),
        (".hidden", "hidden"),
        ("before_p.sh~", "left behind by editors"),
        ("before p.sh", "there is a blank in it"),
        ("a\N{RIGHT-TO-LEFT OVERRIDE}b", "U+202E"),
        ("\udcff", "U+DCFF"),
    ],
)
def test_a_name_that_would_hurt_somebody_is_refused_in_one_sentence(name: str, said: str) -> None:
    sentence = file_names.why_not_given(name)

    assert said in sentence
    assert sentence.isprintable()
    assert sentence.endswith(".")


@pytest.mark.parametrize("name", ["before_p.v1.sh", "complete_sql_inner", "a@b+c.conf", "x" * 200])
def test_a_plain_name_is_fine(name: str) -> None:
    assert file_names.why_not_given(name) == ""


def test_each_name_of_a_folder_has_a_meaning_and_scripts_come_first() -> None:
    listed = [
        *("zeta", ".swp", "after_shop.sh", "before_shop.v1.sh", "before_shop.sh", "before_blog.py"),
        *("before_old.sh", "Before_shop.sh", "complete_shop", "before_shop.sh~"),
    ]

    found = file_names.Meanings(listed, ["shop", "blog"])

    assert [(each.name, each.role) for each in found] == [
        ("before_blog.py", Role.SCRIPT),
        ("before_shop.sh", Role.SCRIPT),
        ("before_shop.v1.sh", Role.SCRIPT),
        ("after_shop.sh", Role.SCRIPT),
        ("Before_shop.sh", Role.STRAY),
        ("before_old.sh", Role.STRAY),
        ("complete_shop", Role.STRAY),
        ("zeta", Role.HELPER),
        (".swp", Role.IGNORED),
        ("before_shop.sh~", Role.IGNORED),
    ]
    by_name = {each.name: each for each in found}
    assert by_name["before_shop.sh"].twins == ("before_shop.v1.sh",)
    assert by_name["after_shop.sh"].phase == Phase.AFTER
    assert "case differ from before_shop" in by_name["Before_shop.sh"].why
    assert "no policy old" in by_name["before_old.sh"].why
    assert "behind a dot" in by_name["complete_shop"].why
    assert all(each.why for each in found if each.role in {Role.STRAY, Role.IGNORED})


def test_a_policy_that_is_renamed_takes_the_rest_of_each_name_along() -> None:
    listed = ["before_shop.v1.bash", "after_shop.sh", "after_shop2.sh", "helper"]

    assert file_names.renamed(listed, "shop", "store") == [
        ("before_shop.v1.bash", "before_store.v1.bash"),
        ("after_shop.sh", "after_store.sh"),
    ]


def test_a_name_that_was_set_aside_says_when_and_what_it_was() -> None:
    hidden = file_names.set_aside("a-b.sh", 1_764_360_000)

    assert file_names.was(hidden) == (1_764_360_000, "a-b.sh")
    assert file_names.was(".deleted-x-a") is None
    assert file_names.was("a-b.sh") is None


def test_a_letter_that_looks_like_another_is_named() -> None:
    assert file_names.look_alike("before_p.sh") == ""
    assert "CYRILLIC" in file_names.look_alike("b\N{CYRILLIC SMALL LETTER IE}fore_p.sh")
