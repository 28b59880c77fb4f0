"""Which instance a file serves, and why one serves none."""

import pytest

from scripts_admin.domain import file_names, remote, remote_names
from scripts_admin.domain.file_names import Role

ONE, TWO, BARE = "i-0123456789abcdef0", "i-0fedcba9876543210", "i-0aaaaaaaaaaaaaaaa"
KNOWN = {"shop": {ONE: True, TWO: True, BARE: False}, "blog": {BARE: False}, "hidden": None}


def _why(name: str) -> str:
    found = remote.named(name)
    assert found is not None
    return remote_names.why_none(found, KNOWN)


@pytest.mark.parametrize(
    "name", ["before_shop@all.sh", f"after_shop@{ONE}.sh", "before_hidden@all.sh"]
)
def test_these_serve_an_instance(name: str) -> None:
    assert _why(name) == ""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("before_old@all.sh", "this folder has no policy old"),
        ("before_Shop@all.sh", "upper and lower case differ from the policy shop"),
        (f"complete_shop@{ONE}.sh", f"complete runs on the server only: take @{ONE} out"),
        (f"before_shop@{BARE}.sh", f"no scripts run on {BARE}: enter how they get there"),
        ("before_shop@i-0000000000000000f.sh", "is no instance of shop: make it a target"),
        ("before_shop@ALL.sh", "only @all in small letters"),
        ("before_shop@.sh", "nothing is no instance of shop"),
        ("before_blog@all.sh", "no instance of blog has scripts of its own"),
    ],
)
def test_these_serve_none_and_say_why(name: str, says: str) -> None:
    assert says in _why(name)


def test_a_file_for_all_says_whom_it_serves() -> None:
    every = remote.Named(remote.PHASES[0], "shop", "all")
    own = [f"before_shop@{ONE}.sh"]

    assert remote_names.note(every, own, KNOWN) == f"it serves {TWO}"
    assert remote_names.note(every, [f"after_shop@{ONE}.sh"], KNOWN) == f"it serves {ONE}, {TWO}"
    both = [*own, f"before_shop@{TWO}.py"]
    assert "serves no instance" in remote_names.note(every, both, KNOWN)
    many = {"shop": {f"i-{n:017x}": True for n in range(9)}}
    assert remote_names.note(every, [], many).endswith("and 6 more")
    assert remote_names.note(remote.Named(remote.PHASES[0], "hidden", "all"), [], KNOWN) == ""


def test_in_a_folder_files_for_instances_are_scripts_and_never_the_servers() -> None:
    listed = [
        *("before_shop.sh", "before_shop@all.sh", f"before_shop@{ONE}.sh", "before_shop@all"),
        *(f"after_shop@{TWO}.sh", f"after_shop@{TWO}.py", "complete_shop@all.sh"),
    ]

    found = {each.name: each for each in file_names.Meanings(listed, KNOWN, KNOWN)}

    roles = {name: (each.role, each.instance) for name, each in found.items()}
    assert roles == {
        "before_shop.sh": (Role.SCRIPT, ""),
        "before_shop@all.sh": (Role.SCRIPT, "all"),
        f"before_shop@{ONE}.sh": (Role.SCRIPT, ONE),
        f"after_shop@{TWO}.py": (Role.SCRIPT, TWO),
        f"after_shop@{TWO}.sh": (Role.SCRIPT, TWO),
        "before_shop@all": (Role.STRAY, ""),
        "complete_shop@all.sh": (Role.STRAY, ""),
    }
    assert found["before_shop.sh"].twins == ()
    assert found["before_shop@all.sh"].why == f"it serves {TWO}"
    assert found[f"after_shop@{TWO}.py"].twins == (f"after_shop@{TWO}.sh",)
    assert "behind a dot" in found["before_shop@all"].why
    assert "on the server only" in found["complete_shop@all.sh"].why


def test_a_policy_that_is_renamed_takes_its_files_for_instances_along() -> None:
    listed = [
        "before_shop.sh",
        f"before_shop@{ONE}.v1.sh",
        "complete_shop@x.sh",
        "after_shop2@all.sh",
    ]

    assert file_names.renamed(listed, "shop", "store") == [
        ("before_shop.sh", "before_store.sh"),
        (f"before_shop@{ONE}.v1.sh", f"before_store@{ONE}.v1.sh"),
        ("complete_shop@x.sh", "complete_store@x.sh"),
    ]
