"""The list of accounts says the same when it is read again, and a broken line is nobody's."""

import pytest

from scripts_admin.domain import linux_register
from scripts_admin.domain.linux_register import SHARED_LIMITS, Kind, Limits, Ours

ALICE = Ours("alice", 1001, 1001, Kind.TENANT, keys=("SHA256:a", "SHA256:b"))
CPMUSER = Ours("cpmuser", 998, 997, Kind.SHARED, limits=SHARED_LIMITS, has_sudo=True)
SERVER = Ours("n2wbackup", 996, 996, Kind.SERVER)


def test_what_is_written_is_read_again() -> None:
    accounts = {each.name: each for each in (SERVER, CPMUSER, ALICE)}

    assert linux_register.parsed(linux_register.written(accounts)) == accounts


def test_a_limit_that_root_changed_stays() -> None:
    text = (
        "alice uid=1001 gid=1001 kind=tenant state=open processes=9 memory=1 files=2 file_size=3\n"
    )

    (found,) = linux_register.parsed(text).values()

    assert found.limits == Limits(9, 1, 2, 3)
    assert "processes=9 memory=1 files=2 file_size=3" in linux_register.written([found])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "alice",
        "alice uid=x kind=tenant state=open",
        "alice uid=1001 state=open",
        "alice uid=1001 kind=king state=open",
        "../x uid=1001 kind=tenant state=open",
        "alice uid=1001 kind=tenant state=open processes=many",
    ],
)
def test_a_broken_line_is_nobodys(line: str) -> None:
    assert linux_register.parsed(f"# a comment\n{line}\n") == {}


def test_an_account_is_locked_unless_it_is_said_to_be_open() -> None:
    for state, locked in (
        ("state=open", False),
        ("state=locked", True),
        ("", True),
        ("state=x", True),
    ):
        (found,) = linux_register.parsed(f"alice uid=1001 kind=tenant {state}\n").values()
        assert found.is_locked == locked
