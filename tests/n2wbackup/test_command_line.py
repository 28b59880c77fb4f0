"""Whatever a command meets around it, the person at the keyboard gets one sentence."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, load_command_class

from n2wbackup import VERSION

ROOT = Path(__file__).resolve().parents[2]
RUN = "6d9a9a5c-9a0d-4c43-8a7b-1d0c9ef0a000"
# How each command is called. A new command without a row here fails.
CALLS: dict[str, str] = {
    "add_key": "add_key alice",
    "apply": "apply {file}",
    "allow_mounting": "allow_mounting alice",
    "approve_host": "approve_host alice db1.invalid --fingerprint x",
    "cancel_recovery": f"cancel_recovery {RUN}",
    "cancel_run": f"cancel_run {RUN}",
    "confirm_server": "confirm_server",
    "confirm_thaw": "confirm_thaw alice/shop",
    "copies": f"copies {RUN}",
    "costs": "costs",
    "doctor": "doctor",
    "drill": "drill alice/shop",
    "export": "export",
    "hold": f"hold {RUN} --reason books",
    "lint_scripts": "lint_scripts alice",
    "list_hosts": "list_hosts alice",
    "list_policies": "list_policies",
    "list_recoveries": "list_recoveries",
    "list_servers": "list_servers",
    "list_runs": "list_runs",
    "lock": f"lock {RUN} --until 2027-12-31T18:00",
    "move_database": "move_database --to sqlite:///{file}.sqlite3",
    "prove": "prove alice/shop",
    "prune": "prune alice/shop --dry-run",
    "rekey": "rekey",
    "release": f"release {RUN}",
    "remove_server": f"remove_server {RUN}",
    "rebuild_from_aws": "rebuild_from_aws",
    "reconcile": "reconcile",
    "recover": "recover",
    "restore": f"restore {RUN} --volume vol-0123456789abcdef0",
    "run_policy": "run_policy alice/shop --wait",
    "serve": "serve",
    "show_policy": "show_policy alice/shop",
    "show_proof": f"show_proof {RUN}",
    "show_recovery": f"show_recovery {RUN}",
    "show_run": f"show_run {RUN}",
    "take_back": f"take_back {RUN}",
    "test_account": "test_account alice/lab",
    "test_alarm": "test_alarm alice",
    "test_scripts": "test_scripts alice/shop",
    "thaw_abandoned": "thaw_abandoned",
    "undo_recovery": f"undo_recovery {RUN}",
}
# They tell how many windows they looked after, in any case.
COUNTS = {"recover", "thaw_abandoned"}
# They do without the database of this home.
WITHOUT_DATABASE = {"completion", "demo", "drain", "provision_user", "watchdog"}

# Each command in a child of one process that has read the settings once.
ALL = """
import json, os, sys, tempfile, django
django.setup()
from django.db import connections
from n2wbackup import command_line
answers = {}
for name, words in json.loads(sys.argv[1]).items():
    connections.close_all()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1); os.dup2(err.fileno(), 2)
            code = 0
            try:
                command_line.main(["manage.py", *words.split()])
            except SystemExit as error:
                code = error.code
                if isinstance(code, str):
                    print(code, file=sys.stderr); code = 1
            except BaseException:
                import traceback; traceback.print_exc(); code = 99
            sys.stdout.flush(); sys.stderr.flush(); os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0); err.seek(0)
        answers[name] = [code, out.read().decode(), err.read().decode()]
print(json.dumps([command_line.ours(), answers]))
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "n2wbackup.settings",
        "N2W_HOME": str(home),
        "N2W_RUN_SCRIPTS_AS": "self",
        "AWS_EC2_METADATA_DISABLED": "true",
        **more,
    }


def run(code: str, *words: str, **given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def manage(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from n2wbackup import command_line; command_line.main(['manage.py', *sys.argv[1:]])"
    return run(code, *words, **environment(home, **more))


def ask_all(
    home: Path, tmp_path: Path, without: str = ""
) -> tuple[list[str], dict[str, list[object]]]:
    document = tmp_path / "backup.yaml"
    document.write_text("schedules: [{owner: alice, name: hourly, every: {hours: 1}}]\n")
    calls = {name: words.format(file=document) for name, words in CALLS.items() if name != without}
    found = run(ALL, json.dumps(calls), **environment(home))
    assert found.returncode == 0, found.stderr
    names, answers = json.loads(found.stdout.splitlines()[-1])
    return names, answers


def is_one_sentence(said: str) -> bool:
    lines = [
        line
        for line in said.splitlines()
        if "scripts_admin.W001" not in line and "HINT:" not in line
    ]
    lines = [
        line
        for line in lines
        if line and line not in {"System check identified some issues:", "WARNINGS:"}
    ]
    return len(lines) == 1 and "Traceback" not in said


def test_every_command_on_a_home_without_tables_names_the_home_and_what_to_do(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"

    names, answers = ask_all(home, tmp_path)

    assert set(names) == set(CALLS) | WITHOUT_DATABASE
    shown = str(answers.pop("doctor")[1])  # a line for each check
    assert f"of the home {home} is not migrated" in shown
    for name, (code, out, err) in answers.items():
        assert code == 1, (name, out, err)
        assert out == "" or name in COUNTS, name
        assert is_one_sentence(str(err)), (name, err)
        assert f"of the home {home} is not migrated" in str(err), (name, err)
        assert "run `manage.py migrate`, or set N2W_HOME" in str(err), name


def test_every_command_on_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "db.sqlite3").write_bytes(b"not a database at all\n" * 200)

    # serve starts without its database, so that it can thaw.
    answers = ask_all(home, tmp_path, without="serve")[1]
    assert "is not a usable SQLite database" in str(answers.pop("doctor")[1])

    for name, (code, out, err) in answers.items():
        assert code == 1, (name, out, err)
        assert is_one_sentence(str(err)), (name, err)
        assert "is not a usable SQLite database (file is not a database)" in str(err), name
    assert (home / "db.sqlite3").read_bytes().startswith(b"not a database"), (
        "nothing was overwritten"
    )


def test_djangos_own_commands_have_the_same_guard(tmp_path: Path) -> None:
    found = manage(tmp_path / "home", "changepassword", "alice")

    assert found.returncode == 1
    assert "is not migrated" in found.stderr
    assert "Traceback" not in found.stderr


def test_the_version_is_the_products(tmp_path: Path) -> None:
    for words in (["--version"], ["version"], ["list_runs", "--version"]):
        found = manage(tmp_path / "home", *words)
        assert (found.returncode, found.stdout) == (0, f"{VERSION}\n"), found.stderr


def test_the_version_needs_no_right_setting(tmp_path: Path) -> None:
    found = manage(tmp_path / "home", "--version", N2W_PORT="abc")

    assert (found.returncode, found.stdout, found.stderr) == (0, f"{VERSION}\n", "")


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("KeyboardInterrupt", 130, "Interrupted.\n"),
        (
            "OSError(28, 'No space left on device', '/a/b')",
            1,
            "/a/b cannot be written, because its disk is full",
        ),
        (
            "OSError(122, 'Disk quota exceeded', '/a/b')",
            1,
            "/a/b cannot be written, because its disk is full",
        ),
        (
            "OSError(30, 'Read-only file system', '/a/b')",
            1,
            "/a/b cannot be used (Read-only file system; the home is",
        ),
        (
            "PermissionError(13, 'Permission denied', '/a/b')",
            1,
            "/a/b cannot be used (Permission denied; the home is",
        ),
    ],
)
def test_trouble_anywhere_in_a_command_is_one_sentence(
    tmp_path: Path, raised: str, code: int, said: str
) -> None:
    program = f"""
import sys, django
django.setup()
from n2wbackup import command_line
from policies.management.commands.list_runs import Command
def fail(*_, **__):
    raise {raised}
Command.handle = fail
command_line.main(["manage.py", "list_runs"])
"""
    found = run(program, **environment(tmp_path / "home"))

    assert found.returncode == code
    assert found.stderr.startswith(said)
    assert found.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_trouble(tmp_path: Path) -> None:
    found = subprocess.run(
        [
            "bash",
            "-c",
            'set -o pipefail; "$@" | true; echo "${PIPESTATUS[0]}"',
            "bash",
            sys.executable,
            "-c",
            "from n2wbackup import command_line as c; import time; time.sleep(0.5); c.main(['n2w', 'help'])",
        ],
        cwd=ROOT,
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert found.stderr == ""


def n2w(at: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "n2w", *words],
        cwd=at,
        env=environment(at / "home", **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_n2w_shows_the_products_commands_only(tmp_path: Path) -> None:
    found = n2w(tmp_path, "--help")

    shown = {line.split()[0] for line in found.stdout.splitlines() if line.startswith("  ")}
    assert shown == set(CALLS) | WITHOUT_DATABASE | {"migrate", "createsuperuser", "changepassword"}
    assert all(len(line) < 120 for line in found.stdout.splitlines())


def test_n2w_works_by_a_link_from_anywhere_and_calls_itself_n2w(tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(ROOT / "n2w")

    found = subprocess.run(
        [tmp_path / "linked", "show_run", "--help"],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert found.stdout.startswith("usage: n2w show_run "), found.stderr


@pytest.mark.parametrize("name", sorted(CALLS))
def test_arguments_that_a_command_does_not_take_are_refused_in_one_sentence(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = load_command_class("policies", name)
    setattr(command, "_called_from_command_line", True)  # noqa: B010 - Django's stubs do not know it

    with pytest.raises(SystemExit) as ended:
        command.create_parser("manage.py", name).parse_args(["a", "b\x1b[2J", "--no-such"])

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(f"manage.py {name}: ")
    assert said.endswith(f". `manage.py {name} --help` lists what it takes.\n")
    assert (said.count("\n"), "\x1b" in said) == (1, False)


@pytest.mark.parametrize("seconds", ["-5", "inf", "nan", "soon"])
def test_drain_waits_for_a_time_that_ends(seconds: str) -> None:
    with pytest.raises(CommandError, match=f"'{seconds}' is not a number of seconds"):
        call_command("drain", f"--timeout={seconds}")


def test_a_command_that_is_nearly_right_is_suggested(tmp_path: Path) -> None:
    found = n2w(tmp_path, "list_polices")

    assert found.returncode == 1
    assert "Did you mean list_policies?" in found.stderr


COMPLETE = """
complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _n2w; echo "${COMPREPLY[@]}"; }
complete_words n2w list_
complete_words n2w run_policy --w
complete_words n2w test_scripts alice/shop --phase ""
complete_words python manage.py show_r
"""


def test_bash_completes_commands_options_and_choices(tmp_path: Path) -> None:
    script = n2w(tmp_path, "completion", "bash")
    assert script.returncode == 0, script.stderr

    found = subprocess.run(
        ["bash", "-c", f"{script.stdout}\n{COMPLETE}"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert found.stdout.splitlines() == [
        "list_hosts list_policies list_recoveries list_runs list_servers",
        "--wait",
        "before after complete",
        "show_recovery show_run",
    ], found.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_what_is_typed(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(n2w(tmp_path, "completion", "zsh").stdout)
    pid, terminal = pty.fork()
    if not pid:
        os.environ["HOME"] = str(tmp_path)
        os.execvp("zsh", ["zsh", "-f", "-i"])
    try:
        os.write(terminal, f"cd {tmp_path}; source ./script; echo rea''dy\n".encode())
        read_until(terminal, b"ready\r")
        os.write(terminal, b"n2w list_ru\t--li\t")

        assert read_until(terminal, b"--limit")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def read_until(terminal: int, wanted: bytes) -> bytes:
    """Return all that the terminal showed, once it shows what is wanted."""
    shown = b""
    while wanted not in shown:
        assert select.select([terminal], [], [], 60)[0], shown
        shown += os.read(terminal, 4096)
    return shown
