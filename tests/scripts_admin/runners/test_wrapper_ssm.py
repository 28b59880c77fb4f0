"""Armed by one command and thawed by another, as over SSM: nobody listens in between."""

import base64
import os
import pwd
import shutil
import signal
import subprocess
import threading
from pathlib import Path

from scripts_admin.runners import far, telling
from tests.ground import far_side, processes
from tests.ground.far_side import in_each_shell, order, run_document

B = far.Second(argument="1", by="worker", absent="tombstone", wait=20.0)


def recording(ledger: Path, before: str = "", after: str = "", **settings: float) -> far.Order:
    return order(
        f"echo before >>{ledger}; {before}", f"echo after $1 >>{ledger}; {after}", **settings
    )


def first(path: str, of: far.Order) -> list[far.Word]:
    return run_document(path, of, "ssm-a")


def second(path: str, of: far.Order) -> list[far.Word]:
    return run_document(path, of, "ssm-b", B)


def of_kind(words: list[far.Word], kind: type[far_side.W]) -> list[far_side.W]:
    return [word for word in words if isinstance(word, kind)]


def log_of(of: far.Order) -> str:
    return (folder_of(of) / "log").read_text()


def folder_of(of: far.Order) -> Path:
    return next(
        path for base in ("/run", "/dev/shm") if (path := Path(base) / f"n2w-{of.nonce}").exists()
    )


def pids_of(of: far.Order) -> list[int]:
    lines = [line.split() for line in log_of(of).splitlines() if line.startswith("-main")]
    return [int(pid) for pid in lines[-1][1:3]]


@in_each_shell
def test_a_ends_when_before_ends_and_b_thaws(path: str, ledger: Path) -> None:
    # What before leaves behind holds A's descriptors no longer than before itself.
    of = recording(
        ledger, "echo locked; sleep 1000 & echo $! >holder", "kill $(cat holder); echo free"
    )
    with far_side.cleared(of):
        words = first(path, of)
        assert [type(word) for word in words] == [far.Ready, far.Before]
        assert of_kind(words, far.Before)[0].code == 0
        assert ledger.read_text() == "before\n"
        words = second(path, of)
        assert of_kind(words, far.Look)[0].state == "live"
        assert of_kind(words, far.Thawing)[0].by == "worker"
        assert of_kind(words, far.Thawing)[0].argument == "1"
        assert of_kind(words, far.After) == [far.After(1, 0, far.By.WORKER)]
        outputs = {(out.phase, out.stream): out.head for out in of_kind(words, far.Out)}
        assert outputs["before", "stdout"] == b"locked\n"
        assert outputs["after", "stdout"] == b"free\n"
        assert ledger.read_text() == "before\nafter 1\n"
        # Asked again, it tells the same and runs nothing.
        words = second(path, of)
        assert of_kind(words, far.Look)[0].state == "over"
        assert of_kind(words, far.Over) == [far.Over(far.By.WORKER)]
        assert ledger.read_text() == "before\nafter 1\n"
        assert far_side.leaves_nothing(of)


@in_each_shell
def test_where_the_agent_has_no_home_the_accounts_is_looked_up_and_a_packed_text_runs(
    path: str, ledger: Path
) -> None:
    of = recording(ledger, f"echo $HOME $N2W_BY >>{ledger}")
    text = far.document(far.program(of, "ssm-a"), packed=True)
    with far_side.cleared(of):
        subprocess.run(
            ["sh", "-c", text],
            env={"PATH": path},
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )
        assert ledger.read_text() == f"before\n{pwd.getpwuid(os.getuid()).pw_dir} ssm\n"
        second(path, of)


@in_each_shell
def test_without_b_the_deadline_thaws(path: str, ledger: Path) -> None:
    of = recording(ledger, max_freeze=1.0)
    with far_side.cleared(of):
        first(path, of)
        processes.wait_until(
            lambda: "over deadline" in log_of(of),
            seconds=far_side.PATIENCE_SECONDS,
            what="the deadline",
        )
        words = second(path, of)
        assert of_kind(words, far.Thawing)[0].by == "deadline"
        assert of_kind(words, far.Thawing)[0].argument == "0"
        assert ledger.read_text() == "before\nafter 0\n"
        assert far_side.leaves_nothing(of)


@in_each_shell
def test_b_before_a_leaves_a_tombstone(path: str, ledger: Path) -> None:
    of = recording(ledger)
    with far_side.cleared(of):
        words = second(path, of)
        assert of_kind(words, far.Look)[0].state == "absent"
        assert words[-1] == far.Over(far.By.NEVER)
        assert of_kind(first(path, of), far.Refused)[0].why == "this run was started here before"
        assert ledger.read_text() == ""
        assert far_side.leaves_nothing(of)


def losing(path: str, place: Path) -> str:
    """Return a PATH on which whoever makes a run's folder is a moment too late; `place/asked` says that it tries."""
    (place / "slow").mkdir()
    mkdir = place / "slow" / "mkdir"
    mkdir.write_text(
        f"""#!/bin/sh
case "$*" in
"-m 700 "*)
    : >{place}/asked
    while [ ! -e "$3" ]; do sleep 0.02; done
    ;;
esac
PATH={path} exec mkdir "$@"
"""
    )
    mkdir.chmod(0o755)
    return f"{place / 'slow'}:{path}"


@in_each_shell
def test_b_that_starts_while_a_makes_the_folder_thaws_it(
    path: str, ledger: Path, tmp_path: Path
) -> None:
    of, words = recording(ledger, before_timeout=1.0), list[far.Word]()
    late = losing(path, tmp_path)
    with far_side.cleared(of):
        thread = threading.Thread(target=lambda: words.extend(second(late, of)))
        thread.start()
        processes.wait_until(
            (tmp_path / "asked").exists, seconds=far_side.PATIENCE_SECONDS, what="B finds nothing"
        )
        first(path, of)
        thread.join()
        assert of_kind(words, far.Refused) == []
        # B came before before was let go, or it thawed what before froze.
        assert of_kind(words, far.Over) == [far.Over(far.By.NEVER)] or of_kind(words, far.After)
        assert far_side.leaves_nothing(of)
        # Or it ended before so soon that it had not come to its first line.
        lines = ledger.read_text().splitlines()
        assert lines == [] or (lines.count("before") <= 1 and lines[-1].startswith("after"))


@in_each_shell
def test_a_that_starts_while_b_leaves_its_tombstone_runs_nothing(
    path: str, ledger: Path, tmp_path: Path
) -> None:
    of, words = recording(ledger), list[far.Word]()
    late = losing(path, tmp_path)
    with far_side.cleared(of):
        thread = threading.Thread(target=lambda: words.extend(first(late, of)))
        thread.start()
        processes.wait_until(
            (tmp_path / "asked").exists, seconds=far_side.PATIENCE_SECONDS, what="A finds nothing"
        )
        assert second(path, of)[-1] == far.Over(far.By.NEVER)
        thread.join()
        assert words == [far.Refused(far.STARTED_BEFORE)]
        assert ledger.read_text() == ""


@in_each_shell
def test_a_that_is_sent_twice_runs_before_once(path: str, ledger: Path) -> None:
    of = recording(ledger)
    with far_side.cleared(of):
        first(path, of)
        assert of_kind(first(path, of), far.Refused)
        second(path, of)
        assert ledger.read_text() == "before\nafter 1\n"


@in_each_shell
def test_a_long_output_is_cut_in_the_middle_and_says_so(path: str, ledger: Path) -> None:
    of = recording(ledger, "echo first; head -c 20000 /dev/zero | tr '\\0' x; echo last")
    with far_side.cleared(of):
        first(path, of)
        out = of_kind(second(path, of), far.Out)[0]
        whole = b"".join(base64.b64decode(each) for each in telling.pieces(out))
        kept = 2 * B.show_bytes
        assert whole.startswith(b"first\nxxx")
        assert whole.endswith(b"xxxlast\n")
        assert f"[… {20_011 - kept} bytes cut …]".encode() in whole


@in_each_shell
def test_an_output_that_comes_late_is_shown_by_b(path: str, ledger: Path, tmp_path: Path) -> None:
    of = recording(ledger, after="echo thawed")
    (tmp_path / "slow").mkdir()
    dd = tmp_path / "slow" / "dd"
    dd.write_text(f'#!/bin/sh\nsleep 0.2\nPATH={path} exec dd "$@"\n')
    dd.chmod(0o755)
    late = f"{tmp_path / 'slow'}:{path}"
    with far_side.cleared(of):
        first(late, of)
        found = {(out.phase, out.stream): out.head for out in of_kind(second(late, of), far.Out)}
        assert found["after", "stdout"] == b"thawed\n"


@in_each_shell
def test_b_ends_a_before_that_still_runs(path: str, ledger: Path) -> None:
    of = recording(ledger, "sleep 1000", before_timeout=1.0)
    with far_side.cleared(of):
        thread = threading.Thread(target=first, args=(path, of))
        thread.start()
        processes.wait_until(
            lambda: ledger.read_text() != "", seconds=far_side.PATIENCE_SECONDS, what="before runs"
        )
        words = second(path, of)
        thread.join()
        assert of_kind(words, far.Before)[0].code == "cut"
        assert of_kind(words, far.After) == [far.After(1, 0, far.By.WORKER)]
        processes.wait_until(
            lambda: "over worker" in log_of(of),
            seconds=far_side.PATIENCE_SECONDS,
            what="it is over",
        )
        assert ledger.read_text() == "before\nafter 0\nafter 0\n"


@in_each_shell
def test_b_takes_over_when_the_wrapper_is_gone(path: str, ledger: Path) -> None:
    of = recording(ledger)
    with far_side.cleared(of):
        first(path, of)
        main, heir = pids_of(of)
        os.kill(heir, signal.SIGKILL)
        os.kill(main, signal.SIGKILL)
        words = second(path, of)
        assert of_kind(words, far.Thawing)[0].by == "orphan"
        assert of_kind(words, far.After) == [far.After(1, 0, far.By.ORPHAN)]
        assert ledger.read_text() == "before\nafter 0\n"
        assert far_side.leaves_nothing(of)


@in_each_shell
def test_b_that_finds_nothing_after_a_restart_of_the_instance_runs_after(
    path: str, ledger: Path
) -> None:
    of = recording(ledger)
    again = far.Second(argument="1", by="worker", absent="after", wait=20.0)
    with far_side.cleared(of):
        first(path, of)
        for pid in reversed(pids_of(of)):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder_of(of))
        words = run_document(path, of, "ssm-b", again)
        assert of_kind(words, far.Look)[0].state == "absent"
        assert of_kind(words, far.After) == [far.After(1, 0, far.By.ORPHAN)]
        assert ledger.read_text() == "before\nafter 0\n"
        assert of_kind(first(path, of), far.Refused)
        assert far_side.leaves_nothing(of)


@in_each_shell
def test_b_wakes_a_wrapper_that_was_stopped(path: str, ledger: Path) -> None:
    of = recording(ledger)
    with far_side.cleared(of):
        first(path, of)
        for pid in pids_of(of):
            os.kill(pid, signal.SIGSTOP)
        words = second(path, of)
        assert of_kind(words, far.Thawing)[0].by == "worker"
        assert ledger.read_text() == "before\nafter 1\n"


@in_each_shell
def test_ending_the_first_command_ends_only_the_messenger(path: str, ledger: Path) -> None:
    of = recording(ledger, "sleep 0.5; echo frozen >>" + str(ledger))
    with far_side.cleared(of), far_side.agent(path, of) as process:
        processes.wait_until(
            lambda: ledger.read_text() != "", seconds=far_side.PATIENCE_SECONDS, what="before runs"
        )
        os.killpg(process.pid, signal.SIGKILL)
        processes.wait_until(
            lambda: "frozen" in ledger.read_text(),
            seconds=far_side.PATIENCE_SECONDS,
            what="before goes on",
        )
        words = second(path, of)
        assert of_kind(words, far.Thawing)[0].by == "worker"
        assert far_side.leaves_nothing(of)
