import configparser
import os
import shlex
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from pytest_django import Settings
from supervisor.options import ServerOptions

from n2wbackup.lib import home
from n2wbackup.processes import serve_lock, supervisor
from n2wbackup.processes.supervisor import Program


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """Return a home whose path has every character that could break a settings file."""
    made = tmp_path / "a home, 100% ours"
    made.mkdir()
    settings.N2W_HOME = made
    settings.N2W_BROKER_SOCKET = home.runtime_of(made) / "broker.sock"
    settings.N2W_PORT = 0  # any that is free: a server may run on this machine
    yield made
    shutil.rmtree(home.runtime_of(made), ignore_errors=True)


def _parsed() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(supervisor.conf(supervisor.programs()))
    return parser


def _program_sections() -> dict[str, configparser.SectionProxy]:
    parser = _parsed()
    return {
        name.partition(":")[2]: parser[name]
        for name in parser.sections()
        if name.startswith("program:")
    }


def test_the_server_consists_of_these_programs(settings: Settings) -> None:
    own = {"web", "beat", "freeze", "tick", "work", "watchdog"}

    assert set(_program_sections()) == own | {"valkey"}
    settings.N2W_REDIS_URL = "redis://elsewhere:6379/0"
    assert set(_program_sections()) == own


def test_every_program_is_told_when_the_supervisor_dies() -> None:
    for section in _program_sections().values():
        setpriv, *rest = shlex.split(section["command"])
        assert Path(setpriv).name == "setpriv"
        assert rest[:3] == ["--pdeathsig", "TERM", "--"]


def test_a_stop_never_reaches_the_guards_of_open_windows() -> None:
    for section in _program_sections().values():
        assert section["stopsignal"] == "TERM"
        assert section["stopasgroup"] == "false"
        assert section["killasgroup"] == "false"


def test_what_dies_is_started_again_however_often() -> None:
    for section in _program_sections().values():
        assert section["autorestart"] == "true"
        assert int(section["startretries"]) > 1_000_000


def test_an_open_window_may_end_by_itself_before_its_worker_is_killed() -> None:
    assert int(_program_sections()["freeze"]["stopwaitsecs"]) > 180


def test_who_opens_windows_is_stopped_first_and_what_closes_them_last() -> None:
    parser = _parsed()
    order = {
        name: int(parser[group]["priority"])
        for group in parser.sections()
        if group.startswith("group:")
        for name in parser[group]["programs"].split(",")
    }

    together = {order[name] for name in ("web", "beat", "freeze", "tick", "work")}
    assert len(together) == 1
    assert together.pop() > order["watchdog"] > order["valkey"]


@pytest.mark.parametrize(("queue", "threads"), [("freeze", 16), ("tick", 1), ("work", 8)])
def test_each_queue_has_a_worker_with_its_number_of_threads(queue: str, threads: int) -> None:
    command = shlex.split(_program_sections()[queue]["command"])

    assert command[5:] == ["-m", "n2wbackup", "worker", queue, str(threads)]


def test_logs_are_rotated_in_the_home(own_home: Path) -> None:
    for name, section in _program_sections().items():
        assert Path(section["stdout_logfile"]).name == f"{name}.log"
        assert int(section["stdout_logfile_maxbytes"]) > 0
        assert int(section["stdout_logfile_backups"]) > 0


def test_supervisor_itself_reads_what_we_meant(own_home: Path) -> None:
    extra = Program("extra", ["/bin/echo", "it's 100% of ours", "", "a;b"], 7, 120)
    path = own_home / "supervisor.conf"
    path.write_text(supervisor.conf([*supervisor.programs(), extra]))

    options = ServerOptions()
    options.realize(["--nodaemon", "--configuration", str(path)])

    found = {
        config.name: config
        for group in options.process_group_configs
        for config in group.process_configs
    }
    assert set(found) == {program.name for program in [*supervisor.programs(), extra]}
    assert shlex.split(found["extra"].command)[4:] == list(extra.command)
    assert found["extra"].stopwaitsecs == 7
    assert found["web"].stdout_logfile == str(own_home / "logs" / "web.log")
    assert found["web"].killasgroup is False
    assert options.logfile == str(own_home / "logs" / "supervisor.log")
    assert options.pidfile == str(own_home / "run" / "supervisor.pid")
    assert options.childlogdir == str(own_home / "logs")
    assert options.server_configs == [], "only signals control it"


@pytest.mark.parametrize("word", ["two\nlines", "a ;comment"])
def test_a_command_that_the_file_cannot_hold_is_refused(word: str) -> None:
    with pytest.raises(supervisor.CannotServeError, match="cannot be written"):
        supervisor.conf([Program("extra", ["/bin/echo", word])])


def test_a_missing_setpriv_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(supervisor.CannotServeError, match=r"setpriv is missing: install .* util-"):
        supervisor.conf(supervisor.programs())


def test_a_taken_port_is_refused_and_the_lock_is_free_again(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings.N2W_PORT = taken.getsockname()[1]

        with pytest.raises(supervisor.CannotServeError, match=r"Port \d+ cannot be used .* N2W_P"):
            supervisor.start()

    assert not serve_lock.held(home.serve_lock())
    assert not (home.run() / "supervisor.conf").exists()


def test_a_home_that_is_served_is_refused(own_home: Path) -> None:
    lock = serve_lock.acquire(home.serve_lock())
    assert lock is not None

    with pytest.raises(supervisor.CannotServeError, match=r"already runs on .*`manage\.py drain`"):
        supervisor.start()

    assert not (home.run() / "supervisor.conf").exists()


def test_a_supervisor_and_single_programs_keep_each_other_away(own_home: Path) -> None:
    alone = serve_lock.acquire(home.serve_lock())
    assert alone is not None
    with pytest.raises(supervisor.CannotServeError, match=r"already runs on .*`manage\.py drain`"):
        supervisor.become("beat")
    os.close(alone)

    share = serve_lock.share(home.serve_lock())
    assert share is not None
    with pytest.raises(supervisor.CannotServeError, match=r"one by one on .*systemctl stop n2w"):
        supervisor.start()
    os.close(share)

    assert not (home.run() / "supervisor.conf").exists()


def test_a_broker_beside_the_one_that_is_named_is_refused(settings: Settings) -> None:
    settings.N2W_REDIS_URL = "redis://elsewhere:6379/0"

    with pytest.raises(supervisor.CannotServeError, match="REDIS_URL names a broker"):
        supervisor.become("valkey")

    assert not serve_lock.shared(home.serve_lock())
    assert not (home.run() / "valkey.conf").exists()


@pytest.mark.parametrize("name", supervisor.SINGLE)
def test_a_program_alone_is_what_it_is_under_the_supervisor(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    become: list[Sequence[str]] = []

    def execve(_program: str, command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
        assert serve_lock.shared(home.serve_lock())
        assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
        become.append(command)
        raise OSError

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(os, "chdir", lambda _: None)
    with pytest.raises(OSError, match=r"^$"):
        supervisor.become(name)

    expected = {program.name: list(program.command) for program in supervisor.programs()}
    assert become == [expected[name]]
    assert not serve_lock.shared(home.serve_lock())
