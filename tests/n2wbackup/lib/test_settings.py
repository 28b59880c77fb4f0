"""Each test reads the settings in a fresh Python process, with only the variables that it names."""

import json
import os
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parents[3]
KEY = Fernet.generate_key().decode()


def _python(
    code: str, environment: dict[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "n2wbackup.settings"}
        | environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def _read(names: str, **environment: str) -> list[object]:
    """Return the named settings, as JSON values."""
    asked = ", ".join(f"settings.{name}" for name in names.split())
    code = (
        f"import json; from django.conf import settings; print(json.dumps([{asked}], default=str))"
    )
    found = _python(code, environment)
    assert found.returncode == 0, found.stderr
    answer: list[object] = json.loads(found.stdout)
    return answer


def _refusal(**environment: str) -> str:
    """Return the error with which the program refuses to start."""
    code = "import sys, manage; sys.argv = ['manage.py', 'check']; manage.main()"
    found = _python(code, environment)
    assert found.returncode == 1
    assert found.stdout == ""
    return found.stderr


def test_importing_the_package_reads_and_writes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"

    found = _python("import n2wbackup.settings", {"N2W_HOME": str(home)})

    assert found.returncode == 0
    assert not home.exists()


def test_all_state_lies_under_the_home(tmp_path: Path) -> None:
    home = tmp_path / "home"

    root, databases = _read("N2W_SCRIPTS_ROOT DATABASES", N2W_HOME=str(home))

    assert stat.S_IMODE(home.stat().st_mode) == 0o711, (
        "scripts run as other accounts, which pass through"
    )
    assert root == str(home / "scripts")
    assert isinstance(databases, dict)
    assert databases["default"]["NAME"] == str(home / "db.sqlite3")


def test_missing_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    first = _read("SECRET_KEY N2W_ENCRYPTION_KEYS", N2W_HOME=str(tmp_path))
    second = _read("SECRET_KEY N2W_ENCRYPTION_KEYS", N2W_HOME=str(tmp_path))

    assert first == second
    files = list((tmp_path / "secrets").iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert len(files) == 2
    assert stat.S_IMODE((tmp_path / "db.sqlite3").stat().st_mode) == 0o600


WRITES_NOTHING = """
import os, sys, django

def refuse(event, args):
    writing = event == "open" and args[2] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR)
    if writing or event in {"os.mkdir", "os.link", "os.rename", "os.remove", "os.chmod"}:
        if str(args[0]).startswith(os.environ["N2W_HOME"]):
            raise RuntimeError(f"{event} {args}")

if sys.argv[1:]:
    sys.addaudithook(refuse)
django.setup()
from n2wbackup.lib import home
home.spool(), home.run(), home.logs(), home.server_id()
"""


def test_a_process_that_starts_on_a_frozen_home_does_not_wait_for_it(tmp_path: Path) -> None:
    environment = {"N2W_HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    first = _python(WRITES_NOTHING, environment)
    assert first.returncode == 0, first.stderr

    again = _python(WRITES_NOTHING, environment, "refuse")

    assert again.returncode == 0, again.stderr


def test_processes_that_start_at_once_have_the_same_keys(tmp_path: Path) -> None:
    def read(_: int) -> str:
        return json.dumps(_read("SECRET_KEY N2W_ENCRYPTION_KEYS", N2W_HOME=str(tmp_path)))

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(read, range(4)))

    assert len(found) == 1


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "django").write_text("from a file\n")

    found = _read(
        "N2W_ENCRYPTION_KEYS SECRET_KEY",
        N2W_HOME=str(tmp_path),
        N2W_ENCRYPTION_KEYS_FILE=str(tmp_path / "key"),
        SECRET_KEY_FILE=str(tmp_path / "django"),
    )

    assert found == [[KEY], "from a file"]
    assert not (tmp_path / "secrets").exists()


def test_several_keys_are_a_list_and_the_first_comes_first(tmp_path: Path) -> None:
    other = Fernet.generate_key().decode()

    found = _read(
        "N2W_ENCRYPTION_KEYS", N2W_HOME=str(tmp_path), N2W_ENCRYPTION_KEYS=f"{other},{KEY}"
    )

    assert found == [[other, KEY]]


def test_a_secret_file_that_is_missing_is_named(tmp_path: Path) -> None:
    said = _refusal(N2W_HOME=str(tmp_path), SECRET_KEY_FILE=str(tmp_path / "gone"))

    assert said.startswith("The settings are wrong: SECRET_KEY_FILE names ")
    assert "gone, which cannot be read (No such file or directory)" in said


def test_a_broken_key_is_refused_and_not_shown(tmp_path: Path) -> None:
    said = _refusal(N2W_HOME=str(tmp_path), N2W_ENCRYPTION_KEYS=f"{KEY},hunter22")

    assert "key number 2 is not 32 bytes in URL-safe base64. Create one with" in said
    assert "hunter22" not in said
    assert KEY not in said


@pytest.mark.parametrize("url", ["mysql://u:hunter22@host/db", "hunter22"])
def test_a_database_that_we_do_not_know_is_refused_without_its_password(
    tmp_path: Path, url: str
) -> None:
    said = _refusal(N2W_HOME=str(tmp_path), DATABASE_URL=url)

    assert "DATABASE_URL " in said
    assert "write postgres://user:password@host:5432/name or sqlite:////path." in said
    assert "hunter22" not in said


def test_postgresql_is_taken_from_its_url(tmp_path: Path) -> None:
    (databases,) = _read(
        "DATABASES", N2W_HOME=str(tmp_path), DATABASE_URL="postgres://u:p%40ss@db:5433/n2w"
    )

    assert isinstance(databases, dict)
    found = databases["default"]
    assert (found["ENGINE"], found["HOST"], found["PORT"], found["NAME"], found["PASSWORD"]) == (
        "django.db.backends.postgresql",
        "db",
        5433,
        "n2w",
        "p@ss",
    )
    assert found["CONN_HEALTH_CHECKS"] is True
    assert not (tmp_path / "db.sqlite3").exists()


def test_a_commit_to_sqlite_is_on_disk_and_writers_wait_for_each_other(tmp_path: Path) -> None:
    code = (
        "import django; django.setup()\n"
        "from django.db import connection\n"
        "cursor = connection.cursor()\n"
        "for name in ('journal_mode', 'synchronous', 'busy_timeout'):\n"
        "    print(cursor.execute(f'PRAGMA {name}').fetchone()[0])\n"
        "print(connection.transaction_mode)"
    )

    found = _python(code, {"N2W_HOME": str(tmp_path)})

    # 2 is FULL.
    assert found.stdout.split() == ["wal", "2", "20000", "IMMEDIATE"], found.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("N2W_PORT", "http", "N2W_PORT is 'http': set it to a port number from 1 to 65535."),
        ("N2W_PORT", "0", "N2W_PORT is '0'"),
        ("N2W_ALARM_NETWORKS", "10.0.0.1/8", "which is not a network: write it like 127.0.0.0/8."),
        ("N2W_RUN_SCRIPTS_AS", "root", "set it to cpmuser, owner or self."),
        ("N2W_PORT", "80 80", "N2W_PORT is '80 80'"),
        ("N2W_ENCRYPTION_KEYS", ",", "N2W_ENCRYPTION_KEYS has no key in it"),
        ("ALLOWED_HOSTS", "https://b.example.org", "write only the host name, b.example.org"),
        ("DEBUG", "maybe", "DEBUG is neither yes nor no: set it to true or false."),
        ("N2W_KEEP_OUTPUTS_DAYS", "0", "set it to a number of days from 1 to 36500."),
        (
            "N2W_KEEP_COUNTS_DAYS",
            "100",
            "N2W_KEEP_COUNTS_DAYS is '100': set it to a number of days from 372",
        ),
        ("N2W_KEEP_RUNS_DAYS", "for ever", "N2W_KEEP_RUNS_DAYS is 'for ever'"),
        ("DEBUG", "perhaps", "DEBUG is neither yes nor no: set it to true or false."),
        ("N2W_HOME", "/proc/nowhere", "N2W_HOME is /proc/nowhere, which cannot be created"),
    ],
)
def test_a_wrong_variable_is_one_sentence(tmp_path: Path, name: str, value: str, said: str) -> None:
    refusal = _refusal(**({"N2W_HOME": str(tmp_path)} | {name: value}))

    assert said in refusal
    assert refusal.count("\n") == 1


def test_a_relative_folder_counts_from_the_checkout_wherever_the_command_is_called(
    tmp_path: Path,
) -> None:
    code = "import os; os.chdir('/'); from django.conf import settings; print(settings.N2W_SCRIPTS_ROOT)"
    own = {"PYTHONPATH": str(ROOT), "N2W_HOME": str(tmp_path), "N2W_SCRIPTS_ROOT": "./s"}
    assert _python(code, own).stdout.strip() == str(ROOT / "s")


def test_on_this_machine_alone_plain_http_will_do(tmp_path: Path) -> None:
    found = _read(
        "ALLOWED_HOSTS SESSION_COOKIE_SECURE CSRF_COOKIE_SECURE SECURE_HSTS_SECONDS",
        N2W_HOME=str(tmp_path),
    )

    assert found == [["localhost", "127.0.0.1"], False, False, 0]


def test_a_server_with_a_name_has_secure_cookies_and_hsts(tmp_path: Path) -> None:
    found = _read(
        "SESSION_COOKIE_SECURE CSRF_COOKIE_SECURE SECURE_HSTS_SECONDS CSRF_TRUSTED_ORIGINS",
        N2W_HOME=str(tmp_path),
        ALLOWED_HOSTS="backup.example.org, .example.com",
    )

    assert found == [
        True,
        True,
        31536000,
        ["https://*.example.com", "https://backup.example.org"],
    ]


def test_the_broker_is_embedded_unless_one_is_named(tmp_path: Path) -> None:
    (embedded,) = _read("CELERY_BROKER_URL", N2W_HOME=str(tmp_path))
    (named,) = _read("CELERY_BROKER_URL", N2W_HOME=str(tmp_path), REDIS_URL="redis://r:1/0")

    server = (tmp_path / "server-id").read_text().strip()
    assert embedded == f"redis+socket:///dev/shm/n2wbackup-{server}/broker.sock"
    assert named == "redis://r:1/0"


def test_tests_never_touch_the_home_that_is_named_outside(tmp_path: Path) -> None:
    home = tmp_path / "real"

    found = _read(
        "N2W_HOME N2W_RUN_SCRIPTS_AS",
        N2W_HOME=str(home),
        DJANGO_SETTINGS_MODULE="n2wbackup.settings.test",
    )

    assert found[0] != str(home)
    assert found[1] == "self"
    assert not home.exists()
    assert not Path(str(found[0])).exists(), "their own home is removed at the end"


LOGGING = """
import django, logging, structlog
django.setup()
from django.conf import settings
logging.getLogger("some.library").warning("plain %s", settings.SECRET_KEY)
structlog.get_logger("ours").info("saved", password="hunter22", host="db1", note="hunter33 said")
try:
    raise ValueError("token " + settings.N2W_ENCRYPTION_KEYS[0])
except ValueError:
    structlog.get_logger("ours").exception("failed")
"""


@pytest.mark.parametrize("debug", ["false", "true"])
def test_no_secret_gets_into_the_log(tmp_path: Path, debug: str) -> None:
    found = _python(
        LOGGING,
        {
            "N2W_HOME": str(tmp_path),
            "DEBUG": debug,
            "SECRET_KEY": 'a"secret\\key',
            "N2W_ENCRYPTION_KEYS": KEY,
            "AWS_SECRET_ACCESS_KEY": "hunter33",
        },
    )

    assert found.returncode == 0, found.stderr
    assert found.stdout == "", "standard output is for a command's answer"
    for secret in ("secret", "hunter22", "hunter33", KEY):
        assert secret not in found.stderr
    assert "db1" in found.stderr
    assert found.stderr.count("[masked]") >= 4


def test_a_log_line_is_one_json_object(tmp_path: Path) -> None:
    found = _python(LOGGING, {"N2W_HOME": str(tmp_path)})

    first, second, third = (json.loads(line) for line in found.stderr.splitlines())
    assert first["event"] == "plain [masked]"
    assert (first["level"], first["logger"]) == ("warning", "some.library")
    assert (second["event"], second["password"], second["host"]) == ("saved", "[masked]", "db1")
    assert third["exception"][0]["exc_type"] == "ValueError"


def test_a_database_that_takes_connections_and_says_nothing_is_given_up(tmp_path: Path) -> None:
    code = "import django; django.setup(); from django.db import connection; connection.ensure_connection()"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://u:p@127.0.0.1:{silent.getsockname()[1]}/n2w"

        found = _python(code, {"N2W_HOME": str(tmp_path), "DATABASE_URL": url})

    assert found.returncode == 1
    assert "OperationalError: connection timeout expired" in found.stderr


@pytest.mark.parametrize("value", ["0", "1441", "an hour", "-5", "1.5"])
def test_a_wrong_idle_time_is_refused(tmp_path: Path, value: str) -> None:
    refused = _refusal(N2W_HOME=str(tmp_path), N2W_SESSION_IDLE_MINUTES=value)

    assert f"N2W_SESSION_IDLE_MINUTES is '{value}': set it to a number of minutes" in refused


def test_a_proxy_that_is_no_address_is_refused(tmp_path: Path) -> None:
    refused = _refusal(N2W_HOME=str(tmp_path), N2W_TRUSTED_PROXIES="proxy.example.org")

    assert "N2W_TRUSTED_PROXIES has 'proxy.example.org', which is not a network" in refused


def test_no_proxy_is_trusted_unless_it_is_named(tmp_path: Path) -> None:
    assert _read("N2W_TRUSTED_PROXIES", N2W_HOME=str(tmp_path)) == [[]]
    assert _read(
        "N2W_TRUSTED_PROXIES", N2W_HOME=str(tmp_path), N2W_TRUSTED_PROXIES="127.0.0.1, fd00::/8"
    ) == [["127.0.0.1/32", "fd00::/8"]]
