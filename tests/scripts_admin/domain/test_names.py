"""Which file belongs to which phase of which policy."""

import pytest

from scripts_admin.domain import names
from scripts_admin.domain.phases import Phase


@pytest.mark.parametrize(
    ("file_name", "policy", "belongs"),
    [
        ("before_policy1.sh", "policy1", True),
        ("before_policy1.v11.5.bash", "policy1", True),
        ("before_policy1.py", "policy1", True),
        ("before_policy1.x", "policy1", True),
        ("before_policy10.sh", "policy1", False),
        ("before_policy1.sh", "policy10", False),
        ("before_policy1", "policy1", False),  # no dot, and so nothing after it
        ("before_policy1.", "policy1", False),
        ("before_Policy1.sh", "policy1", False),
        ("Before_policy1.sh", "policy1", False),
        ("before_policy1.SH", "policy1", True),
        ("xbefore_policy1.sh", "policy1", False),
        ("before-policy1.sh", "policy1", False),
        ("before_policy1 .sh", "policy1", False),
        ("after_policy1.sh", "policy1", False),
        ("before_a_b-c.sh", "a_b-c", True),
        ("before_a_b.sh", "a", False),
        ("complete_sql_inner", "sql_inner", False),  # a helper script in the guide's sample
        ("before_policy1@i-0123.sh", "policy1", False),  # only for scripts on an instance
        ("before_policy1@all.sh", "policy1", False),
    ],
)
def test_a_file_belongs_to_the_policy_that_it_names_up_to_its_first_dot(
    file_name: str, policy: str, belongs: bool
) -> None:
    assert names.belongs(file_name, Phase.BEFORE, policy) is belongs


@pytest.mark.parametrize("ending", ["~", ".bak", ".orig", ".swp", ".rpmsave", ".dpkg-old"])
def test_what_editors_and_package_managers_leave_behind_is_ignored(ending: str) -> None:
    name = f"before_policy1.sh{ending}"

    assert names.is_ignored(name)
    assert not names.belongs(name, Phase.BEFORE, "policy1")


@pytest.mark.parametrize("name", [".before_policy1.sh", ".before_policy1.sh.swp", "."])
def test_hidden_files_are_ignored(name: str) -> None:
    assert names.is_ignored(name)
    assert not names.belongs(name, Phase.BEFORE, "policy1")


def test_a_plain_helper_is_not_ignored_and_belongs_to_nobody() -> None:
    for name in ("complete_sql_inner", "id_rsa", "lib.sh"):
        assert not names.is_ignored(name)
        assert names.candidates([name], Phase.COMPLETE, "sql") == []


def test_candidates_are_listed_sorted_and_only_of_their_phase() -> None:
    found = [
        "before_p.sh",
        "after_p.sh",
        "complete_p.sh",
        "before_p.py",
        "before_p.sh~",
        "before_q.sh",
    ]

    assert names.candidates(found, Phase.BEFORE, "p") == ["before_p.py", "before_p.sh"]
    assert names.candidates(found, Phase.AFTER, "p") == ["after_p.sh"]
    assert names.candidates([], Phase.AFTER, "p") == []


@pytest.mark.parametrize("name", ["policy1", "A", "a-b_C9", "-", "_", "x" * 64])
def test_a_policys_name_is_letters_digits_and_two_signs(name: str) -> None:
    assert names.is_policy_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "a.b", "a b", "a/b", "..", "ä", "a\n", "x" * 65, "a@all", "policy1\0", "٣"],
)
def test_other_names_are_no_policys(name: str) -> None:
    assert not names.is_policy_name(name)


@pytest.mark.parametrize("name", ["a", "cpm_user1", "a-b", "z" * 31])
def test_a_users_name_may_be_a_linux_accounts(name: str) -> None:
    assert names.is_user_name(name)


@pytest.mark.parametrize("name", ["", "A", "1a", "_a", "-a", "a.b", "a b", "z" * 32, "a\n", "ä"])
def test_other_names_are_no_users(name: str) -> None:
    assert not names.is_user_name(name)
