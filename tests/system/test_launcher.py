"""A server that is not root: its scripts run as other accounts by the launcher, and are ended by it."""

import contextlib
import json
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scripts_admin.guard.mark import Mark
from tests.ground import launcher, processes
from tests.ground.bomb import BOMB
from tests.ground.hanging import hanging
from tests.ground.launcher import Place
from tests.scripts_admin.guard.stage import gone

pytestmark = [pytest.mark.real, pytest.mark.lasts(20)]
SECONDS = 30.0
BRIEFLY = 4.0  # a script has begun by then, also on a machine with much other work
# A zombie is gone, and whoever inherits it takes its time.
LIVES = """lives() { read -r stat </proc/$1/stat && stat=${stat##*) } && [[ $stat != [ZX]* ]]; } 2>/dev/null
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with launcher.installed("n2wl-alice", "n2wl-bob") as found:
        yield found


@dataclass
class Window:
    """A window of the server's, and the folder of its scripts, which is the account's."""

    folder: Path
    account: pwd.struct_passwd
    place: Place
    process: subprocess.Popen[str] | None = None

    def script(self, phase: str, body: str, shebang: str = "#!/bin/bash") -> Path:
        path = self.folder / f"{phase}_p.sh"
        path.write_text(f"{shebang}\n{body}\n")
        os.chown(path, self.account.pw_uid, self.account.pw_gid)
        path.chmod(0o755)
        return path

    def start(self, *, hiding: bool = False, **spans: float) -> Any:
        """Start the guard; return its answer."""
        words = [
            "-m",
            "tests.ground.launched_window",
            str(self.folder.parent),
            self.account.pw_name,
        ]
        command = self.place.within(
            self.place.python, *words, json.dumps(spans), user=self.place.server, hiding=hiding
        )
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "SECRET_KEY": "not-for-scripts"},
        )
        return self.say("start")

    def say(self, word: str) -> Any:
        """Have the server do this; return what came of it."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def through(self, **spans: Any) -> dict[str, Any]:
        """Keep a whole window; return what the journal tells."""
        assert self.start(**spans) == ""
        for word in ("go", "before", "thaw", "over", "settled"):
            self.say(word)
        told: dict[str, Any] = self.say("told")
        return told

    def mark(self, name: str) -> str:
        """Wait for a whole line that a script writes into its folder, and return it."""
        path = self.folder / name
        processes.wait_until(
            lambda: path.exists() and path.read_text().endswith("\n"), seconds=SECONDS, what=name
        )
        return path.read_text().strip()

    def launchers(self, phase: str) -> list[int]:
        """Return the launcher that stands beside the script of a phase: the parent of its process."""
        pid = self.say("told")[f"{phase} 1"]["pid"]
        return [int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])]


@pytest.fixture
def window(place: Place, request: pytest.FixtureRequest) -> Iterator[Window]:
    home = place.view / "windows" / request.node.name[:60].replace("/", "-")
    folder = home / "folder"
    folder.mkdir(parents=True)
    for each, owner in ((home, place.server), (folder, place.accounts[0])):
        os.chown(each, owner.pw_uid, owner.pw_gid)
        each.chmod(0o755)
    found = Window(folder, place.accounts[0], place)
    yield found
    if found.process is not None:
        with contextlib.suppress(BrokenPipeError):
            found.process.communicate(timeout=SECONDS)


def test_a_script_is_the_account_with_the_contracts_environment_and_nothing_else(
    window: Window,
) -> None:
    report = r"""
id -un; id -G; pwd; echo "$0 $*"; /bin/ls -l /proc/self/fd | sed "s/.*:.. /fd /"
env | sort; grep -E 'NoNewPrivs|SigIgn' /proc/self/status; ps -o pgid=,sid= -p $$ | tr -d ' '; echo "pid $$"
sudo -n true; cat /proc/$PPID/environ; kill -0 $PPID; true
"""
    script = window.script("before", report)
    window.script("after", "echo thawed $1")

    told = window.through()

    before, account = told["before 1"], window.account
    lines = before["stdout"].splitlines()
    assert lines[0] == account.pw_name
    assert lines[1] == str(account.pw_gid)
    assert lines[2:4] == [str(window.folder), f"{script} "]
    assert before["ran"] == [0, *Mark.of(script.stat())]
    shown = dict(line.split("=", 1) for line in lines if "=" in line)
    assert {k: v for k, v in shown.items() if k not in ("PWD", "SHLVL", "_", "OLDPWD")} == {
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "N2W_POLICY": "p",
        "N2W_PHASE": "before",
        "N2W_ATTEMPT": "1",
        "N2W_TIMEOUT_SECONDS": "30",
        "N2W_SECONDS_LEFT": "60",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    assert "NoNewPrivs:\t1" in lines
    fds = [line for line in lines if line.startswith("fd ")]
    assert len(fds) == 4, fds  # with that of ls itself
    assert processes.held_back(before["stdout"]) == {"SigIgn": set()}
    assert "no new privileges" in before["stderr"]
    assert "environ: Permission denied" in before["stderr"]
    assert "Operation not permitted" in before["stderr"]
    assert (told["after 1"]["stdout"], told["after 1"]["argument"]) == ("thawed 1\n", "1")


def test_a_scripts_own_folder_is_not_needed_for_its_copy_and_the_spool_stays_closed(
    window: Window,
) -> None:
    window.script("before", "true")
    after = window.script(
        "after",
        f'cat "$0" | tail -1; ls {window.folder.parent}/spool/run; cd /; id -un; echo x >>"$0"',
    )
    assert window.start() == ""
    window.say("go")
    window.say("before")
    window.say("kill_guard")
    after.unlink()

    assert window.say("again") == "failed"  # for the last line of it
    told = window.say("told")["after 1"]
    assert told["ran"][0] == 1  # the copy
    assert told["stdout"].splitlines()[-1] == window.account.pw_name
    assert "Permission denied" in told["stderr"]
    assert told["argument"] == "1"


def test_all_that_came_from_before_is_dead_before_after_runs(window: Window) -> None:
    window.script(
        "before",
        "trap '' TERM; setsid bash -c 'trap \"\" TERM; echo $$ >escaped; sleep 600' & "
        "(trap '' TERM; echo $BASHPID >child; sleep 600) & sleep 600",
    )
    window.script(
        "after",
        f"{LIVES}for each in child escaped; do lives $(cat $each) && echo $each; done; true",
    )
    assert window.start(before_seconds=BRIEFLY) == ""
    window.say("go")
    assert window.mark("escaped")
    assert window.mark("child")
    assert window.say("before") == "timed_out"
    for word in ("thaw", "over", "settled"):
        window.say(word)
    told = window.say("told")
    assert (told["after 1"]["stdout"], told["after 1"]["argument"]) == ("", "0")


@pytest.mark.parametrize("hiding", [False, True])
@pytest.mark.parametrize("victim", ["guard", "launcher", "both"])
def test_before_dies_with_its_guard_or_its_launcher(
    window: Window, victim: str, *, hiding: bool
) -> None:
    window.script("before", "echo $$ >before; sleep 600 & echo $! >child; wait")
    window.script(
        "after", f"{LIVES}for each in before child; do lives $(cat $each) && exit 1; done; true"
    )
    assert window.start(hiding=hiding) == ""
    window.say("go")
    window.mark("child")
    found = window.launchers("before")
    if victim in ("launcher", "both"):
        for pid in found:
            os.kill(pid, 9)
    if victim in ("guard", "both"):
        window.say("kill_guard")
        assert window.say("again") == "succeeded"
    else:
        assert window.say("before") == "interrupted"
        window.say("thaw")
        window.say("over")
        window.say("settled")
    told = window.say("told")
    assert told["before 1"]["outcome"] == "interrupted"
    assert (told["after 1"]["outcome"], told["after 1"]["argument"]) == ("succeeded", "0"), told


def test_a_launcher_that_was_stopped_is_continued_and_tells_the_end(window: Window) -> None:
    window.script("before", "echo $$ >before; while [ ! -e go ]; do sleep 0.02; done; exit 3")
    window.script("after", "true")
    assert window.start() == ""
    window.say("go")
    window.mark("before")
    for pid in window.launchers("before"):
        os.kill(pid, 19)
    (window.folder / "go").touch()

    assert window.say("before") == "failed"
    for word in ("thaw", "over", "settled"):
        window.say(word)
    assert window.say("told")["before 1"]["exit_code"] == 3


def test_a_launcher_ends_before_at_its_deadline_though_the_guard_stands_still(
    window: Window,
) -> None:
    window.script("before", "echo $$ >before; sleep 600")
    window.script("after", "true")
    assert window.start(before_seconds=BRIEFLY) == ""
    window.say("go")
    pid = int(window.mark("before"))
    guard = window.say("guards")
    os.kill(guard, 19)
    processes.wait_until(
        lambda: not Path(f"/proc/{pid}").exists(), seconds=SECONDS, what="the end of before"
    )
    os.kill(guard, 18)
    assert window.say("before") == "timed_out"
    for word in ("thaw", "over", "settled"):
        window.say(word)
    assert window.say("told")["after 1"]["outcome"] == "succeeded"


def test_a_child_that_before_leaves_lives_until_after_has_ended_and_is_shown(
    window: Window,
) -> None:
    window.script("before", "sleep 600 >/dev/null 2>&1 & echo $! >child")
    window.script("after", "kill -0 $(cat child)")
    told = window.through()
    assert told["after 1"]["outcome"] == "succeeded"
    [left] = window.say("leftovers")
    assert (left["account"], left["run"], left["phase"]) == (
        window.account.pw_name,
        "run",
        "before",
    )
    assert left["processes"] == [{"pid": int(window.mark("child")), "name": "sleep"}]
    os.kill(left["processes"][0]["pid"], 9)
    processes.wait_until(lambda: window.say("leftovers") == [], seconds=SECONDS, what="no leftover")


def test_a_locked_account_runs_nothing_and_nothing_is_frozen(window: Window, place: Place) -> None:
    window.script("before", "touch frozen")
    window.script("after", "true")
    name = window.account.pw_name
    place.lines[name]["state"] = "locked"
    place.write_list()
    try:
        assert (
            window.start()
            == f"{name} is locked in /etc/n2wbackup/accounts: run provision_user {name} as root"
        )
    finally:
        place.lines[name]["state"] = "open"
        place.write_list()
    assert not (window.folder / "frozen").exists()


def test_a_fork_bomb_that_before_leaves_keeps_no_thaw_from_running(
    window: Window, place: Place
) -> None:
    place.lines[window.account.pw_name]["processes"] = "60"
    place.write_list()
    window.script("before", BOMB)
    window.script("after", "id -un")
    try:
        told = window.through()
        assert told["before 1"]["outcome"] == "succeeded", told
        assert told["after 1"]["outcome"] == "succeeded", told
        assert window.say("leftovers")
        assert window.say("end_leftovers") == []
    finally:
        del place.lines[window.account.pw_name]["processes"]
        place.write_list()


def test_what_a_script_left_is_told_though_its_launcher_has_yet_to_end(window: Window) -> None:
    window.script("before", "sleep 300 >/dev/null 2>&1 &")
    window.script("after", "true")
    assert window.start() == ""
    (launcher_of_before,) = window.launchers("before")
    for word in ("go", "before"):
        window.say(word)
    os.kill(launcher_of_before, signal.SIGSTOP)
    try:
        for word in ("thaw", "over", "settled"):
            window.say(word)
        assert [each["phase"] for each in window.say("leftovers")] == ["before"]
    finally:
        os.kill(launcher_of_before, signal.SIGCONT)
    assert window.say("end_leftovers") == []


def test_complete_runs_through_the_launcher(window: Window) -> None:
    window.script("complete", "id -un; echo $1")
    window.script("after", "true")
    window.start()
    window.say("release")
    assert window.say("complete") == "succeeded"
    assert window.say("told")["complete 1"]["stdout"] == f"{window.account.pw_name}\n1\n"


def test_what_was_stopped_at_the_gate_is_continued(window: Window) -> None:
    window.script("before", "true")
    window.script("after", "echo $1")
    assert window.start() == ""
    for phase in ("before", "after"):
        script = window.say("told")[f"{phase} 1"]["pid"]
        for pid in (*window.launchers(phase), script):
            os.kill(pid, 19)
    window.say("go")
    assert window.say("before") == "succeeded"
    for word in ("thaw", "over", "settled"):
        window.say(word)
    assert window.say("told")["after 1"]["stdout"] == "1\n"


def test_a_launcher_that_is_killed_at_the_gate_is_followed_by_another(window: Window) -> None:
    window.script("before", "true")
    window.script("after", "echo $1")
    assert window.start() == ""
    found = [pid for phase in ("before", "after") for pid in window.launchers(phase)]
    for pid in found:
        os.kill(pid, 9)
        processes.wait_until(partial(gone, pid), seconds=SECONDS, what="its end")
    window.say("go")
    assert window.say("before") == "succeeded"
    for word in ("thaw", "over", "settled"):
        window.say(word)
    assert window.say("told")["after 1"]["stdout"] == "1\n"


@pytest.mark.parametrize("guard_dies", [False, True])
def test_a_folder_that_hangs_keeps_no_thaw_from_running(
    window: Window, *, guard_dies: bool
) -> None:
    window.script("before", "true")
    window.script("after", "echo copy $1")
    assert window.start() == ""
    window.say("go")
    window.say("before")
    assert window.process is not None
    with hanging(window.folder, window.process.pid):
        if guard_dies:
            window.say("kill_guard")
            assert window.say("again") == "succeeded"
        else:
            for word in ("thaw", "over", "settled"):
                window.say(word)
    told = window.say("told")["after 1"]
    assert (told["outcome"], told["stdout"], told["ran"][0]) == ("succeeded", "copy 1\n", 1), told
