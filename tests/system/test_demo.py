"""The demo, really played: one backup through the workers, a server that stands, and no trace."""

import contextlib
import http.cookiejar
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.ground import processes
from tests.system import demo_traces

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.lasts(120)
ONCE_SECONDS = 240  # promised are 30, on a machine that has nothing else to do
# With any of these the demo would not get far, or too far.
OF_A_REAL_SERVER = {
    "DATABASE_URL": "postgres://nobody:secret@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "AWS_PROFILE": "production",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "N2W_RUN_SCRIPTS_AS": "owner",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
}
READY = "backup succeeded, application-consistent"
# The policies whose scripts run on the instance, and how they get there.
DISTANT = {"alice/billing": "ssh", "bob/search": "ssm"}


def _environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    plain = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    return {**plain, "N2W_HOME": str(home), "PYTHONUNBUFFERED": "1", **more}


def _demo(
    home: Path,
    *words: str,
    output: int | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "demo", *words],
        cwd=ROOT,
        env=_environment(home, more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if output is None else output,
        stderr=subprocess.PIPE if output is None else output,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def home() -> Iterator[Path]:
    with processes.folder("n2wbackup-demo-") as made:
        yield made


def _played(
    home: Path, *words: str, seconds: float = 30, more: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, str, str]:
    """Return the exit code and both outputs of a demo that ends by itself."""
    demo = _demo(home, *words, more=more)
    try:
        stdout, stderr = demo.communicate(timeout=seconds)
    finally:
        processes.stop(demo, politely=signal.SIGINT, seconds=60)  # type: ignore[arg-type]
    return demo.returncode, stdout, stderr


@contextlib.contextmanager
def _standing(
    home: Path, more: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Give a demo that stands and has made its first backup, and what it has printed."""
    told = home / "told"
    with told.open("w") as output:
        demo = _demo(home, output=output.fileno(), more=more)
    try:
        processes.wait_until(
            lambda: READY in told.read_text() or demo.poll() is not None,
            seconds=ONCE_SECONDS,
            what="the first backup of the demo",
        )
        assert demo.poll() is None, told.read_text()
        yield demo, told
    finally:
        processes.stop(demo, politely=signal.SIGINT, seconds=60)  # type: ignore[arg-type]


def test_one_backup_succeeds_and_proves_itself_and_leaves_nothing(home: Path) -> None:
    code, stdout, stderr = _played(
        home, "--once", "--json", seconds=ONCE_SECONDS, more=OF_A_REAL_SERVER
    )

    assert code == 0, stderr
    found: dict[str, Any] = json.loads(stdout)
    run = found["run"]
    assert (found["good"], run["state"], run["consistency"]) == (True, "succeeded", "application")
    # 200 a second would be some forty in such a hold.
    assert found["writes_in_hold"] == 0
    assert found["hold_milliseconds"] > 150
    assert found["writes_in_second_before"] > 0
    assert found["writes_in_second_after"] > 0
    assert found["copy"]["balances"] is True
    assert {name: (p["outcome"], p["argument"]) for name, p in run["phases"].items()} == {
        "before": ("succeeded", ""),
        "after": ("succeeded", "1"),
        "complete": ("succeeded", "1"),
    }
    stood = re.search(r"still at transaction (\d+)", run["phases"]["before"]["stdout"])
    assert stood
    assert found["copy"]["last"] == int(stood[1]), "what was copied is what before has stopped at"
    assert f"up to {stood[1]} trimmed" in run["phases"]["complete"]["stdout"]
    assert [snapshot["state"] for snapshot in run["snapshots"]] == ["completed", "completed"]
    # Through a worker: nothing else says this.
    assert "a worker took the run" in [event["text"] for event in run["events"]]
    _look_at_its_worth(found)
    assert (demo_traces.left(home), demo_traces.of(home)) == ([], [])


def _look_at_its_worth(found: dict[str, Any]) -> None:
    """The snapshot is proven as far as this machine can, a file came out of it, and an old restore point went."""
    proof, run = found["proof"], found["run"]
    can_open = os.geteuid() == 0 and Path("/usr/bin/nbdkit").exists()
    assert (proof["state"], proof["level"]) == ("passed", 3 if can_open else 0), proof
    assert proof["run"] == run["id"]
    assert proof["blocks_read"] > 0
    assert bool(found["lacks"]) is not can_open
    if can_open:
        told = "The mark of this run is in the ledger, which balances up to transaction"
        assert f"{told} {found['copy']['last']}." in proof["output"]
        restored = found["restored"]
        assert (restored["balances"], restored["last"]) == (True, found["copy"]["last"])
    (gone,) = found["went"]
    assert gone["run"] != run["id"]
    assert len(gone["snapshots"]) == 1
    assert "keep" in gone["why"]


def test_a_demo_stands_until_ctrl_c_and_shows_its_runs_to_whoever_logs_in(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with _standing(home, {"N2W_PORT": str(port)}) as (demo, told):
            text = told.read_text()
            in_memory = demo_traces.server_ids(home)
            assert in_memory <= demo_traces.memory()
            url = re.search(r"(http://127\.0\.0\.1:(\d+)/)", text)
            assert url
            assert url[0] in text.splitlines()[0], "the address comes first"
            assert int(url[2]) > port, "a port that is taken is left alone"
            passwords = dict(re.findall(r"Log in +(\w+) +(\S+)", text))
            _look_at_the_pages(url[1], passwords["alice"])
            _look_at_the_states(url[1], passwords["admin"])
            _look_at_the_instances(home)
            ssh, everyone = demo_traces.port_of_sshd(home), demo_traces.family(demo)
            assert demo_traces.uses(ssh)
            assert "demo/sshd/host_key" in demo_traces.private_keys(home)
            assert all(
                password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
                for password in passwords.values()
                for pid, _ in everyone
            )
            _refuse_a_second(home)

            # To the whole group, as a terminal does, and a person who presses it twice.
            os.killpg(demo.pid, signal.SIGINT)
            time.sleep(0.2)
            os.killpg(demo.pid, signal.SIGINT)

            assert demo.wait(60) == 0, told.read_text()
    assert "Traceback" not in told.read_text()
    assert (demo_traces.left(home), demo_traces.of(home)) == ([], [])
    assert not in_memory & demo_traces.memory()
    assert (demo_traces.alive(everyone), demo_traces.uses(ssh)) == (set(), [])
    assert demo_traces.private_keys(home) == []


def _look_at_the_instances(home: Path) -> None:
    """Scripts ran on both instances, by SSH and by SSM, and each was thawed because the server asked."""
    for label, way in DISTANT.items():
        run = _ended_run(home, label)
        ended = (run["state"], run["consistency"], run["thaw_by"])
        assert ended == ("succeeded", "application", "worker"), run
        target = run["targets"][0]
        assert (target["remote"]["by"], target["thaw_by"]) == (way, "worker")
        assert target["phases"]["after"]["argument"] == "1"
        assert "stands still on i-" in target["phases"]["before"]["stdout"]
        assert "goes on; before ended well: 1" in target["phases"]["after"]["stdout"]


def _ended_run(home: Path, label: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def has_ended() -> bool:
        found[:] = [run for run in _runs(home, label) if run["ended_at"]]
        return bool(found)

    processes.wait_until(has_ended, seconds=ONCE_SECONDS, what=f"the run of {label}", pause=1)
    return found[-1]


def _runs(home: Path, label: str) -> list[dict[str, Any]]:
    listed = subprocess.run(
        [sys.executable, "manage.py", "list_runs", "--policy", label, "--json"],
        cwd=ROOT,
        env=_environment(home / "demo", {}),
        capture_output=True,
        check=True,
        text=True,
    )
    runs: list[dict[str, Any]] = json.loads(listed.stdout)["runs"]
    return runs


def _logged_in(url: str, name: str, password: str) -> urllib.request.OpenerDirector:
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(jar)
    with browser.open(f"{url}runs/") as page:
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', page.read().decode())
    assert token
    form = {"username": name, "password": password, "csrfmiddlewaretoken": token[1]}
    sent = urllib.parse.urlencode({**form, "next": "/runs/"}).encode()
    browser.open(f"{url}login/?next=/runs/", sent).close()
    return browser


def _read(browser: urllib.request.OpenerDirector, url: str) -> str:
    with browser.open(url) as page:
        return str(page.read().decode())


def _look_at_the_pages(url: str, password: str) -> None:
    browser = _logged_in(url, "alice", password)
    listed = _read(browser, f"{url}policies/alice/ledger/")
    link = re.search(r"runs/[0-9a-f-]{36}/", listed)
    assert link
    assert "It was held all the time" in _read(browser, f"{url}{link[0]}")


def _look_at_the_states(url: str, password: str) -> None:
    """Every state that an operator can meet is there, and a year of runs."""
    browser = _logged_in(url, "admin", password)
    processes.wait_until(
        lambda: (
            "state-waiting" in (text := _read(browser, f"{url}runs/"))
            and "state-thawing" in text
            and "state-failed" in text
        ),
        seconds=120,
        what="a run that waits, one that may be frozen, and one that failed",
    )
    policies = _read(browser, f"{url}policies/")
    for name in ("ledger", "website", "orders", "mail", "wiki", "build", "wiki-files", "archive"):
        assert f"/{name}/" in policies


def _refuse_a_second(home: Path) -> None:
    code, _, stderr = _played(home)
    assert code == 1
    assert f"A demo already runs in {home / 'demo'}" in stderr
    assert stderr.count("\n") == 1


@pytest.mark.parametrize("after_seconds", [0.8, 2.5, 4.0])
def test_a_demo_that_is_ended_while_it_starts_leaves_nothing(
    home: Path, after_seconds: float
) -> None:
    demo = _demo(home, "--once")
    processes.wait_until(lambda: bool(demo_traces.left(home)), seconds=60, what="the demo's folder")
    time.sleep(after_seconds)

    demo.send_signal(signal.SIGTERM)

    _, stderr = demo.communicate(timeout=60)
    assert demo.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in stderr
    assert (demo_traces.left(home), demo_traces.of(home)) == ([], [])


def test_what_a_killed_demo_has_left_is_ended_at_once_and_removed_by_the_next(home: Path) -> None:
    with _standing(home) as (demo, _):
        in_memory, ssh = demo_traces.server_ids(home), demo_traces.port_of_sshd(home)
        everyone = demo_traces.family(demo)
        demo.kill()
        demo.wait()
        processes.wait_until(
            lambda: (
                not (demo_traces.of(home) or demo_traces.alive(everyone) or demo_traces.uses(ssh))
            ),
            seconds=60,
            what="every process is gone",
        )
    assert demo_traces.left(home) == ["demo"]

    told = home / "told"
    with told.open("w") as output:
        again = _demo(home, output=output.fileno())
    processes.wait_until(lambda: "Starting" in told.read_text(), seconds=60, what="the next demo")
    assert not in_memory & demo_traces.memory()
    again.terminate()
    assert again.wait(60) == 0
    assert demo_traces.left(home) == []


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {"secret-key", "n2w-encryption-keys", "server-id"}
    }


@pytest.mark.parametrize("words", [[], ["--once"]])
@pytest.mark.parametrize("name", ["db.sqlite3", "spool/run/record"])
def test_the_home_of_a_real_server_is_refused_and_left_as_it_is(
    home: Path, words: list[str], name: str
) -> None:
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_bytes(b"somebody's data")
    if name != "db.sqlite3":
        (home / "db.sqlite3").touch()
    before = _contents(home)

    code, _, stderr = _played(home, *words)

    assert code == 1
    assert f"N2W_HOME is {home}, where a server has its data" in stderr
    assert stderr.count("\n") == 1
    assert _contents(home) == before
    assert demo_traces.left(home) == []


def test_a_folder_that_the_demo_did_not_make_is_refused_and_left_as_it_is(home: Path) -> None:
    (home / "demo").mkdir()
    (home / "demo" / "letter").write_text("mine")

    code, _, stderr = _played(home)

    assert code == 1
    assert f"{home / 'demo'} has files that the demo did not create" in stderr
    assert _contents(home / "demo") == {"letter": b"mine"}


def test_json_without_once_is_refused(home: Path) -> None:
    code, _, stderr = _played(home, "--json")

    assert code == 1
    assert "--json needs --once" in stderr
    assert demo_traces.left(home) == []
