"""What lint says of the files that are carried to instances."""

from pathlib import Path

import pytest

from scripts_admin.domain.remote import Remote
from scripts_admin.folders import linting, linting_carried, storage
from scripts_admin.models import Folder

ONE, TWO = "i-0123456789abcdef0", "i-0fedcba9876543210"
SSM = Remote(by="ssm").filled()
SSH = Remote(by="ssh", user="u").filled()
THAW = "#!/bin/sh\nset -e\nfsfreeze -u /data\n"
SECRET = "#!/bin/sh\nset -e\nmysql -uroot -psecretword -e 'select 1'\n"


@pytest.fixture
def home(folder: Folder) -> Path:
    return storage.path(folder)


def _look(folder: Folder, **of: Remote) -> list[tuple[str, str, str]]:
    remotes = {ONE: of.get("one", SSH), TWO: of.get("two", SSH)}

    found = linting_carried.look(folder, "p", remotes, lambda *_: [])
    return [(str(each.level), each.code, each.policy) for each in found]


def test_right_scripts_get_no_remark(folder: Folder, home: Path) -> None:
    for phase in ("before", "after"):
        (home / f"{phase}_p@all.sh").write_text(THAW)

    assert _look(folder) == []


def test_what_cannot_be_carried_is_an_error_of_whose_file_it_is_and_told_once(
    folder: Folder, home: Path
) -> None:
    (home / "before_p@all.sh").write_text("true\n")
    (home / f"after_p@{ONE}.sh").write_text(THAW)
    (home / f"after_p@{ONE}.py").write_text(THAW)
    (home / f"after_p@{TWO}.sh").write_text(THAW)

    assert _look(folder) == [
        ("error", "not-carried", "p@all"),
        ("error", "ambiguous", f"p@{ONE}"),
    ]


def test_a_before_without_after_is_a_warning_for_each_instance(folder: Folder, home: Path) -> None:
    (home / f"before_p@{ONE}.sh").write_text(THAW)
    (home / f"before_p@{TWO}.sh").write_text(THAW)
    (home / f"after_p@{TWO}.sh").write_text(THAW)

    assert _look(folder) == [("warning", "no-after", f"p@{ONE}")]


def test_what_after_does_not_thaw_is_told(folder: Folder, home: Path) -> None:
    (home / "before_p@all.sh").write_text("#!/bin/sh\nfsfreeze -f /data\n")
    (home / "after_p@all.sh").write_text("#!/bin/sh\nexit 0\n")

    assert _look(folder) == [("warning", "not-thawed", "p@all")]


def test_files_that_serve_no_instance_are_named(folder: Folder, home: Path) -> None:
    (home / "before_p@i-0aaaaaaaaaaaaaaaa.sh").write_text(THAW)
    (home / "complete_p@all.sh").write_text(THAW)
    (home / "before_p2@all.sh").write_text(THAW)  # of another policy

    assert sorted(_look(folder)) == [
        ("warning", "serves-no-instance", "p@all"),
        ("warning", "serves-no-instance", "p@i-0aaaaaaaaaaaaaaaa"),
    ]


def test_a_password_in_a_text_that_ssm_keeps_is_an_error_and_by_ssh_is_none(
    folder: Folder, home: Path
) -> None:
    (home / "before_p@all.sh").write_text(SECRET)
    (home / "after_p@all.sh").write_text(THAW)

    assert _look(folder) == []
    assert _look(folder, two=SSM) == [("error", "secret-in-ssm", "p@all")]
    (remark,) = linting_carried.look(folder, "p", {ONE: SSM}, lambda *_: [])
    assert "AWS keeps its text for 30 days" in remark.text
    assert "secretword" not in remark.text
    assert remark.line == 3


def test_a_path_on_the_instance_is_not_linted(folder: Folder) -> None:
    path = Remote(by="ssm", before="/opt/a", after="/opt/b")

    assert _look(folder, one=path, two=path) == []


def test_a_text_is_judged_by_the_way_to_each_instance_and_not_by_this_server(
    folder: Folder, home: Path
) -> None:
    """The server's scripts lie on one disk with what is frozen; on an instance that is another disk."""
    (home / "before_p@all.sh").write_text(f"#!/bin/sh\nset -e\nfsfreeze -f {home}\n")
    (home / "after_p@all.sh").write_text(THAW.replace("/data", str(home)))
    of_root = Remote(by="ssh", user="u", sudo=True).filled()

    def found(*ways: Remote) -> list[tuple[str, str]]:
        remotes = {"p": dict(zip((ONE, TWO), ways, strict=True))}
        told = linting.look(folder, ["p"], None, remotes=remotes)
        return [
            (each.code, each.policy) for each in told if each.code in {"needs-root", "frozen-disk"}
        ]

    assert found(of_root, SSM) == []
    assert found(SSH, SSM) == [("needs-root", "p@all")] * 2
    on_server = linting.of_text(
        "before_p.sh", f"fsfreeze -f {home}\n", linting.surroundings(folder)
    )
    assert "frozen-disk" in [each.code for each in on_server]
    reviewed = linting.of_text("before_p@all.sh", f"#!/bin/sh\nfsfreeze -f {home}\n")
    assert "frozen-disk" not in [each.code for each in reviewed]
