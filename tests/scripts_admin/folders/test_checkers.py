"""shellcheck and the shell are asked within limits, and tell nothing that they should not."""

import stat
import sys
from pathlib import Path

import pytest

from scripts_admin.domain.lint.script import Script
from scripts_admin.folders import checkers, linting


def codes(text: str) -> list[str]:
    return [each.code for each in checkers.of_script(Script("before_shop.sh", text))]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A stand-in for shellcheck."""
    path = tmp_path / "bin" / "shellcheck"
    path.parent.mkdir()
    path.touch(mode=0o755)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return path


def test_a_quote_that_is_not_closed_is_an_error_of_the_shell_and_of_shellcheck() -> None:
    assert {"syntax", "SC1073"} <= set(codes('#!/bin/bash\necho "open\n'))


def test_nothing_is_found_beside_the_text(tmp_path: Path) -> None:
    other = tmp_path / "other.sh"
    other.write_text("cd /srv\nrm -- *.log\n")

    assert codes(f"#!/bin/bash\n# shellcheck source={other}\n. {other}\n") == []


def test_a_text_is_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    codes(f"#!/bin/bash\ntouch {mark}\necho $(touch {mark}) <(touch {mark}) `touch {mark}`\n")

    assert not mark.exists()


def test_the_environment_is_clean(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "hidden")
    program.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen\npwd >> {tmp_path}/seen\n")

    assert codes("#!/bin/bash\ntrue\n") == ["unchecked"]

    seen = (tmp_path / "seen").read_text()
    assert "hidden" not in seen
    assert seen.endswith("\n/\n")


def test_a_program_that_takes_too_long_is_ended(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkers, "SECONDS", 0.2)
    program.write_text("#!/bin/sh\nexec sleep 600\n")

    assert codes("#!/bin/bash\ntrue\n") == ["unchecked"]


def test_its_memory_is_limited(program: Path) -> None:
    program.write_text(
        "#!/usr/bin/python3\nimport sys\nsys.stdin.read()\n"
        "try:\n    bytearray(2**30)\nexcept MemoryError:\n    print('{\"comments\": []}')\n"
    )

    assert codes("#!/bin/bash\ntrue\n") == []


def test_a_missing_program_is_told_and_no_error(tmp_path: Path, program: Path) -> None:
    program.unlink()

    (found,) = checkers.of_script(Script("before_shop.sh", "#!/bin/bash\ntrue\n"))

    assert "shellcheck could not look at before_shop.sh" in found.text


def test_a_private_key_is_shown_to_no_program(program: Path, tmp_path: Path) -> None:
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/seen\n")
    key = f"{'-' * 5}BEGIN OPENSSH PRIVATE KEY{'-' * 5}\n{'A' * 64}\n"

    linting.of_text("before_shop.sh", f"#!/bin/bash\n{key}")
    linting.of_text("key.pem", key)

    assert not (tmp_path / "seen").exists()


def test_the_same_text_is_asked_about_once(program: Path, tmp_path: Path) -> None:
    program.write_text(
        f"#!/bin/sh\ncat >/dev/null\necho x >> {tmp_path}/seen\necho '{{\"comments\": []}}'\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)

    for _ in range(3):
        linting.of_text("before_shop.sh", f"#!/bin/bash\necho {tmp_path}\n")

    assert (tmp_path / "seen").read_text() == "x\n"


def test_no_long_piece_of_the_script_is_repeated() -> None:
    found = checkers.of_script(Script("before_shop.sh", "#!/bin/bash\nx=(a\n) secret-word (\n"))

    assert found
    assert all("secret-word" not in each.text for each in found)
