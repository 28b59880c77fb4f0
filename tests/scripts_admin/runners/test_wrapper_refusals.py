"""What cannot be armed is refused before the window, with a sentence, and nothing has run."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from scripts_admin.runners import far
from tests.ground import components, far_side
from tests.ground.far_side import in_each_shell, order


def refusal(path: str, of: far.Order, prefix: bytes = b"") -> str:
    with far_side.started(path, of, prefix=prefix) as side:
        words = side.hears_the_end()
        assert [type(word) for word in words] == [far.Refused]
        assert side.leaves_nothing()
        assert isinstance(words[0], far.Refused)
        return words[0].why


@in_each_shell
def test_a_program_that_is_sent_twice_runs_once(path: str, ledger: Path) -> None:
    of = order(f"echo before >>{ledger}")
    with far_side.started(path, of) as side:
        side.freezes()
        with far_side.started(path, of, keep=True) as twin:
            assert twin.hears(far.Refused).why == "this run was started here before"
        assert ledger.read_text() == "before\n"
        side.say(far.thaw("1"))
        assert side.hears(far.Over).by == "worker"


@in_each_shell
def test_an_interpreter_that_is_missing_is_named(path: str) -> None:
    of = replace(order(), before=far.Carried("before_shop@all.x", b"#!/opt/none\n"))
    assert refusal(path, of) == "before needs /opt/none, which is not on this instance"
    of = replace(order(), after=far.Carried("after_shop@all.x", b"#!/usr/bin/env none\n"))
    assert refusal(path, of) == "after needs none, which is not on this instance"


@in_each_shell
def test_a_path_that_cannot_be_executed_is_named(path: str, tmp_path: Path) -> None:
    of = replace(order(), before=far.Installed(str(tmp_path / "none")))
    assert refusal(path, of).startswith(f"before: {tmp_path}/none does not exist on this instance")
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    of = replace(order(), after=far.Installed(str(tmp_path / "plain")))
    assert "after: root may not execute" in refusal(path, of)


@in_each_shell
def test_without_memory_to_write_to_nothing_starts(path: str, tmp_path: Path) -> None:
    of = order()
    assert "no tmpfs" in refusal(path, of, prefix=b"n2w_only='/var /nowhere'\n")


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    components.needs_root("mounting a tmpfs")
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@in_each_shell
def test_full_memory_is_named(path: str, tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=64k") as small:
        (small / "rest").write_bytes(b"x" * 64 * 1024)
        only = f"n2w_only={small}\n".encode()
        assert refusal(path, order(), prefix=only) == (
            f"the scripts need a little memory: {small} is full"
        )
        assert [entry.name for entry in small.iterdir()] == ["rest"]


@in_each_shell
def test_what_cannot_be_written_or_executed_does_not_matter(
    path: str, tmp_path: Path, ledger: Path
) -> None:
    with mounted(tmp_path / "bare", "noexec,nodev,nosuid,size=1m") as bare:
        of = order(f"echo before >>{ledger}")
        with far_side.started(path, of, prefix=f"n2w_only={bare}\n".encode()) as side:
            assert side.is_ready().folder.startswith(str(bare))
            side.goes()
            assert side.hears(far.Before).code == 0


@pytest.mark.parametrize("kind", ["link", "open to others", "somebody else's"])
@in_each_shell
def test_a_folder_that_somebody_else_made_is_not_used(path: str, tmp_path: Path, kind: str) -> None:
    with mounted(tmp_path / "shared", "size=1m,mode=1777") as shared:
        of = order()
        squatted = shared / f"n2w-{of.nonce}"
        if kind == "link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            squatted.symlink_to(tmp_path / "elsewhere")
        else:
            squatted.mkdir(mode=0o777 if kind == "open to others" else 0o700)
            squatted.chmod(0o777 if kind == "open to others" else 0o700)
            components.needs_root("giving a folder away")
            subprocess.run(["chown", "65534", squatted], check=kind != "open to others")
        why = refusal(path, of, prefix=f"n2w_only={shared}\n".encode())
        assert why == f"{squatted} belongs to somebody else or is open to others"
        assert not list((tmp_path / "elsewhere").glob("*"))


@in_each_shell
def test_folders_of_yesterday_go_unless_they_are_not_over(path: str, tmp_path: Path) -> None:
    with mounted(tmp_path / "memory", "size=1m,mode=1777") as memory:
        for name, over in (
            ("n2w-old", True),
            ("n2w-new", True),
            ("n2w-open", False),
            ("other", True),
        ):
            (memory / name).mkdir(mode=0o700)
            (memory / name / "log").touch()
            if over:
                (memory / name / "over").touch()
            if name != "n2w-new":
                for entry in (memory / name).iterdir():
                    os.utime(entry, (0, 0))
        of = order()
        with far_side.started(path, of, prefix=f"n2w_only={memory}\n".encode()) as side:
            side.is_ready()
            names = {entry.name for entry in memory.iterdir()}
            assert names == {"n2w-new", "n2w-open", "other", f"n2w-{of.nonce}"}
