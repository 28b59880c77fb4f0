"""The broker and the database as the settings reach them: TLS, sockets with odd names, a pool between."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import components, postgresql, processes, redis

ROOT = Path(__file__).resolve().parents[2]
# Asks the broker as the pages do, and as the queue does.
ASK = """
import django, json
django.setup()
from n2wbackup import health
from n2wbackup.celery import app
answers = {"health": health.broker_answers(), "queue": "ok"}
try:
    with app.connection_for_write() as connection:
        connection.default_channel.client.ping()
except Exception as error:
    answers["queue"] = type(error).__name__
print(json.dumps(answers))
"""


def asked(home: Path, url: str) -> dict[str, object]:
    found = python(ASK, N2W_HOME=str(home), REDIS_URL=url)
    assert found.returncode == 0, found.stderr
    answer: dict[str, object] = json.loads(found.stdout)
    return answer


def python(code: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "n2wbackup.settings",
            "N2W_RUN_SCRIPTS_AS": "self",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a short path, which sockets need."""
    with processes.folder() as made:
        yield made


@pytest.fixture(scope="module")
def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that nobody else trusts, and its key."""
    made, key = folder / "own ca.pem", folder / "key.pem"
    words = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    more = ["-addext", "subjectAltName=DNS:localhost", "-out", str(made), "-keyout", str(key)]
    subprocess.run([components.program("openssl"), *words, *more], check=True, capture_output=True)
    return made, key


@pytest.fixture(scope="module")
def tls_port(folder: Path, certificate: tuple[Path, Path]) -> Iterator[int]:
    port = processes.free_port()
    made, key = certificate
    options = ["--tls-port", str(port), "--tls-cert-file", str(made), "--tls-key-file", str(key)]
    with redis.running(
        "redis",
        folder / "tls",
        data=folder / "tls-data",
        persistence="rdb",
        options=[*options, "--tls-auth-clients", "no"],
    ):
        yield port


def test_tls_is_verified_by_both_libraries(
    tmp_path: Path, tls_port: int, certificate: tuple[Path, Path]
) -> None:
    url = f"rediss://localhost:{tls_port}/0"
    trusted = str(certificate[0]).replace(" ", "%20")

    assert asked(tmp_path, f"{url}?ssl_ca_certs={trusted}") == {"health": True, "queue": "ok"}
    # Nobody vouches for it.
    refused = asked(tmp_path, url)
    assert refused["health"] is False
    assert refused["queue"] != "ok"
    # A name that the certificate does not have.
    other = asked(tmp_path, f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={trusted}")
    assert other["health"] is False
    assert other["queue"] != "ok"


def test_tls_without_verification_is_to_be_asked_for(tmp_path: Path, tls_port: int) -> None:
    url = f"valkeys://localhost:{tls_port}/0?ssl_cert_reqs=none"

    assert asked(tmp_path, url) == {"health": True, "queue": "ok"}


@pytest.mark.parametrize("scheme", ["unix", "redis+socket"])
def test_a_socket_with_an_encoded_path_is_found_by_both_libraries(
    tmp_path: Path, folder: Path, scheme: str
) -> None:
    odd = folder / f"a b%25c {scheme[0]}"
    with redis.running("valkey", odd, data=odd / "data", persistence="rdb"):
        path = str(odd / redis.SOCKET).replace("%", "%25").replace(" ", "%20")

        assert asked(tmp_path, f"{scheme}://{path}") == {"health": True, "queue": "ok"}


def test_a_password_with_special_characters_passes_when_encoded(
    tmp_path: Path, folder: Path
) -> None:
    password = "p@s:s/w?o#r%d"
    encoded = "p%40s%3As%2Fw%3Fo%23r%25d"
    place = folder / "pw"
    with redis.running("valkey", place, data=place / "data", persistence="rdb") as server:
        server.ask("ACL", "SETUSER", "queue", "on", f">{password}", "~*", "&*", "+@all")
        by_port = f"valkey://queue:{encoded}@127.0.0.1:{server.port}/0"
        by_socket = f"unix://queue:{encoded}@{place / redis.SOCKET}"

        assert asked(tmp_path, by_port) == {"health": True, "queue": "ok"}
        assert asked(tmp_path, by_socket) == {"health": True, "queue": "ok"}


POOLED = """
import django, threading
django.setup()
from django.db import connection, connections, transaction
from django.test import Client
from policies.models import Account, Policy, Schedule
from scripts_admin.models import User
boss = User.objects.create_superuser("boss", "b@example.org", "correct horse battery")
for n in range(150):  # more than a cursor fetches at once
    Schedule.objects.create(owner=boss, name=f"s{n}", cron="0 2 * * *")
failed = []
def look():
    client = Client()
    client.force_login(boss)
    for _ in range(5):
        for page in ("/admin/policies/policy/add/", "/admin/policies/policy/", "/admin/policies/schedule/"):
            answer = client.get(page)
            if answer.status_code != 200:
                failed.append((page, answer.status_code))
        list(Schedule.objects.iterator(chunk_size=10))
        with transaction.atomic():
            list(Schedule.objects.select_for_update().all())
    connections.close_all()
def noted():
    try:
        look()
    except Exception as error:
        failed.append(type(error).__name__)
threads = [threading.Thread(target=noted) for _ in range(4)]
[each.start() for each in threads]
[each.join() for each in threads]
print(failed)
"""


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")
def test_pages_and_commands_work_through_a_pool_in_transaction_mode(tmp_path: Path) -> None:
    with postgresql.running() as cluster, processes.folder() as folder:
        port = processes.free_port()
        postgresql.own_folder(folder)
        (folder / "pool.ini").write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={cluster.port}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n"
            "ignore_startup_parameters = extra_float_digits\n"
            f"logfile = {folder / 'pool.log'}\n"
        )
        own = {"N2W_HOME": str(tmp_path), "ALLOWED_HOSTS": "localhost,testserver", "DEBUG": "true"}
        own["DATABASE_URL"] = f"postgres://{postgresql.USER}@127.0.0.1:{port}/postgres"
        # auth_type=any logs in at the server as the user that the pool names.
        text = (folder / "pool.ini").read_text()
        (folder / "pool.ini").write_text(text.replace("port=", f"user={postgresql.USER} port="))
        postgresql.own(folder / "pool.ini")
        pool = processes.start(
            [components.program("pgbouncer"), folder / "pool.ini"],
            log=folder / "out",
            account=processes.unprivileged(postgresql.ACCOUNT),
        )
        try:
            migrate = (
                "import sys, manage; sys.argv = ['manage.py', 'migrate', '-v0']; manage.main()"
            )
            migrated = python(migrate, **own)
            assert migrated.returncode == 0, migrated.stderr + (folder / "out").read_text()

            found = python(POOLED, **own)
        finally:
            processes.stop(pool)

    assert found.stdout.strip() == "[]", found.stdout + found.stderr[-3000:]
