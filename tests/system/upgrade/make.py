"""Makes the fixture again: what a server of this very code leaves on disk when it is killed.

    python -m tests.system.upgrade.make

The fixture that is kept was made by the last release, the one before its modules moved. Do not make
it anew for a change of the code: then it would only show that this code understands itself. Make it
with the code of a release, from that release's checkout, and keep it beside the older ones.

A real server backs up until there are runs of many ends. Then a window is opened, AWS makes the
snapshots, its answer never comes, and every process is killed with SIGKILL. The server's folder in
memory is removed, as a restart of the machine would. What is left goes into `fixture/DATABASE`:
the rows as SQL, and of N2W_HOME what an upgrade finds there. `shown.json` is what the release
itself said of it. Names that are of this machine become placeholders; see `fixture/README.md`.
"""

import base64
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.ground import components, postgresql, processes
from tests.ground import receivers as ground
from tests.system.product import LABEL, OWNER, POLICY, ROOT, Product, serving
from tests.system.upgrade import kept as keeping
from tests.system.upgrade.kept import KEY_ID, SECRET, Kept

# Fernet takes any 32 bytes. These say what they are.
ENCRYPTION_KEY = base64.urlsafe_b64encode(b"a key of a fixture opens nothing").decode()
NOWHERE = "json://127.0.0.1:9/t0psecret-token"  # nobody listens on the port "discard"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DUE = {"every": {"minutes": 1}, "starting": "2026-01-01T00:00"}

SCRIPT = """#!/bin/bash
# Leaves a mark for its start and its end. What the file `how` says goes wrong.
echo "$N2W_PHASE start ${1:-} $EPOCHREALTIME $N2W_ATTEMPT" >>marks
how="$(cat how)"
%s
echo "$N2W_PHASE end ${1:-} $EPOCHREALTIME $N2W_ATTEMPT" >>marks
"""
BODIES = {
    "before": """[[ $how != refuse ]] || { echo "the application says no" >&2; exit 1; }
[[ $how != hang ]] || sleep 30
echo "$N2W_RUN_ID" >frozen
echo "frozen" """.rstrip(),
    "after": """[[ $how != fail || $N2W_ATTEMPT != 1 ]] || exit 3
rm -f frozen
echo "thawed" """.rstrip(),
    "complete": 'echo "logs may go: $1 $how"',
}


def main() -> None:
    """Make both."""
    with processes.folder() as folder:
        _make(folder, Kept("sqlite"), "")
    with postgresql.running() as cluster, processes.folder() as folder:
        _make(folder, Kept("postgresql"), cluster.url())


def _make(folder: Path, kept: Kept, database_url: str) -> None:
    home = folder / "home"
    (home / "secrets").mkdir(parents=True)
    home.chmod(0o711)
    (home / "secrets" / "n2w-encryption-keys").write_text(ENCRYPTION_KEY + "\n")
    with ground.webhook() as hook:
        more = {
            "PATH": SYSTEM_PATH,
            "HOME": "/nonexistent",
            "N2W_ALARM_NETWORKS": "127.0.0.0/8",
            "LAB_SECRET": SECRET,
            "BOB_PASSWORD": "correct horse battery",
            "HOOK": f"{hook.json_url}/t0psecret-token",
            "NOWHERE": NOWHERE,
            "PING": "http://127.0.0.1:9/t0psecret-token",
        }
        with serving(home, folder, database_url=database_url, more=more) as product:
            product.aws.add_account(KEY_ID, SECRET)
            product.marks_file = product.folder / "marks"
            _apply(product, due=False)
            _scripts(product)
            _end_in_many_ways(product)
            run = _open_a_window(product)
            _kill_everything(product)
            _keep(product, kept, run)


def _apply(product: Product, *, due: bool) -> None:
    """Enter people, accounts, schedules and policies. `due`: one of them is due each minute."""
    here = {"instance": product.instance, "region": "us-east-1"}
    keys = {"access_key_id": KEY_ID, "secret_access_key_env": "LAB_SECRET"}
    role = {"auth": "role", "role_arn": "arn:aws:iam::123456789012:role/backup"}
    seconds = {"before": 3, "after": 10, "complete": 10}
    scripts = {"timeout_seconds": seconds, "skip_snapshots_when_before_fails": True}
    alarms = {"alarm_urls_env": "HOOK", "ping_url_env": "PING"}
    volume = {"volume": "vol-0123456789abcdef0", "region": "eu-central-1"}
    names: list[dict[str, Any]] = [
        {"name": POLICY, "targets": [here], "scripts": scripts, "schedules": ["nightly"], **alarms},
        {"name": "p2", "targets": [here], "schedules": ["often"], "enabled": due},
        {"name": "p3", "targets": [volume], "enabled": False, "retries": {"count": 2, "minutes": 7}},
    ]  # fmt: skip
    weekend = {"days": ["sat", "sun"], "from": "08:00", "to": "18:00"}
    nightly = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "disabled": [weekend]}
    document = {
        "users": [
            {"name": OWNER, "password_env": "ALICE_PASSWORD", "alarm_urls_env": "NOWHERE"},
            {"name": "bob2", "email": "b@example.org", "password_env": "BOB_PASSWORD"},
        ],
        "accounts": [
            {"owner": OWNER, "name": "lab", "auth": "keys", "region": "us-east-1", **keys},
            {"owner": "bob2", "name": "office", "region": "us-east-1", **role},
        ],
        "schedules": [
            {"owner": OWNER, "name": "nightly", **nightly},
            {"owner": OWNER, "name": "often", **DUE},
        ],
        "policies": [{"owner": OWNER, "account": "lab", **each} for each in names],
    }
    path = product.home.parent / "fixture.yaml"
    path.write_text(json.dumps(document))
    product.succeed("apply", str(path))


def _scripts(product: Product) -> None:
    for phase, body in BODIES.items():
        path = product.folder / f"{phase}_{POLICY}.sh"
        path.write_text(SCRIPT % body)
        path.chmod(0o755)


def _end_in_many_ways(product: Product) -> None:
    for how, end in {
        "": "succeeded",
        "fail": "partial",
        "refuse": "failed",
        "hang": "failed",
    }.items():
        (product.folder / "how").write_text(f"{how}\n")
        assert product.wait_for_end(product.start_run())["state"] == end, how
    (product.folder / "how").write_text("\n")
    product.succeed("test_scripts", LABEL)
    _skip_one_and_cancel_another(product)


def _skip_one_and_cancel_another(product: Product) -> None:
    """Let p2 be due while it waits for snapshots that take their time."""
    product.aws.configure(pending_seconds=600)
    _apply(product, due=True)
    product.manage("run_policy", f"{OWNER}/p2")  # or it was due this very moment
    processes.wait_until(
        lambda: any(each["state"] == "skipped" for each in _runs(product)), seconds=100, what="due"
    )
    _apply(product, due=False)
    run = next(each["id"] for each in _runs(product) if each["state"] == "waiting")
    product.succeed("cancel_run", run)
    product.wait_for_end(run)


def _runs(product: Product) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(product.succeed("list_runs", "--json"))["runs"]
    return found


def _open_a_window(product: Product) -> str:
    """Return the run whose application is frozen, and of whose snapshots the server knows nothing."""
    made = len(product.aws.snapshots())
    product.marks_file.unlink()
    product.aws.fault("CreateSnapshots", "hang", seconds=60, deed=True)
    run = product.start_run()
    processes.wait_until(
        lambda: len(product.aws.snapshots()) == made + 2, seconds=20, what="the snapshots"
    )
    assert [mark.phase for mark in product.marks("", "end")] == ["before"]
    return run


def _kill_everything(product: Product) -> None:
    """Stop all of them first: whoever lives a moment longer would thaw."""
    assert product.process is not None
    first = [product.process.pid, *product.titles()]
    every = {pid for one in first for pid in [one, *processes.descendants(one)]}
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in every:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    product.process.wait()
    shutil.rmtree(product.memory)
    assert (product.folder / "frozen").exists()


def _keep(product: Product, kept: Kept, run: str) -> None:
    """Write the fixture; what stands in `shown.json` are the release's own commands' words."""
    shutil.rmtree(kept.folder, ignore_errors=True)
    home = kept.folder / "home"
    home.mkdir(parents=True)
    for name in ("server-id", "secrets/n2w-encryption-keys"):
        (home / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(product.home / name, home / name)
    shutil.copytree(product.home / "scripts", home / "scripts")
    shutil.copytree(product.home / "spool" / run, kept.open_window)
    assert len(list((product.home / "spool").iterdir())) == 1
    shown = {
        "run": product.show(run),
        "tags": product.aws.snapshots()[-1].tags,
        "runs": _runs(product),
        "policy": _policy(product),
        "alarms": json.loads(product.succeed("dumpdata", "policies.alarm")),
        "export": product.succeed("export"),
    }
    (kept.folder / "shown.json").write_text(json.dumps(shown, indent=1, sort_keys=True) + "\n")
    kept.dump.write_text("".join(_dumped(product)))
    _put_placeholders(product, kept.folder, run)


def _policy(product: Product) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(product.succeed("show_policy", LABEL, "--json"))
    # They depend on the day.
    return {key: value for key, value in found.items() if not key.startswith("next_run")}


def _dumped(product: Product) -> Iterator[str]:
    if not product.database_url:
        with contextlib.closing(sqlite3.connect(product.home / "db.sqlite3")) as database:
            yield from (f"{line}\n" for line in database.iterdump())
        return
    options = ["--no-owner", "--no-privileges", product.database_url]
    done = subprocess.run(
        [components.program("pg_dump"), *options], check=True, capture_output=True, text=True
    )
    # What only the newest versions understand.
    newest = ("SET transaction_timeout", "\\restrict", "\\unrestrict", "--")
    for line in done.stdout.splitlines(keepends=True):
        if line.strip() and not line.startswith(newest):
            yield line


def _put_placeholders(product: Product, folder: Path, run: str) -> None:
    server = (product.home / "server-id").read_text().strip()
    volumes = {each.volume_id for each in product.aws.snapshots()}
    words = keeping.words(product.home, server, run, product.instance, tuple(volumes))
    for path in folder.rglob("*"):
        if path.is_dir():
            continue
        text = path.read_text()
        for placeholder, word in words.items():
            text = text.replace(word, placeholder)
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
        path.write_text(text)
        for other in (product.home.parent, ROOT, f"{Path.home()}/"):
            assert str(other) not in text, (path, other)


if __name__ == "__main__":
    main()
