"""A command loads only what it needs: what it must not have loaded at its end is named here, so it starts quickly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from n2wbackup import command_line
from tests.ground import empty

ROOT = Path(__file__).resolve().parents[2]
RUN = "6d9a9a5c-9a0d-4c43-8a7b-1d0c9ef0a000"
# Commands that neither call AWS nor run scripts. They look, or note what somebody wants.
CALLS = [
    *("costs", "export", "lint_scripts", "list_policies", "list_recoveries", "list_servers"),
    *("list_runs", "list_runs --json", f"show_run {RUN}", "show_policy alice/shop"),
    *(f"show_proof {RUN}", f"show_recovery {RUN}", "list_hosts alice", f"copies {RUN}"),
    *(f"hold {RUN} --reason books", f"release {RUN}", f"cancel_run {RUN}", "drain"),
    *("confirm_thaw alice/shop", "prune alice/shop --dry-run", f"cancel_recovery {RUN}"),
    *("allow_mounting alice", "add_key alice", f"remove_server {RUN}"),
]
WITHOUT_ACCOUNTS = ["reconcile"]  # it asks AWS for each that there is
AWS = {"boto3", "botocore"}
QUEUES = {"celery", "kombu", "redis", "redis.asyncio"}
REMOTE = {"paramiko", "invoke"}
COLOURS = {"rich", "pygments"}
PAGES = {
    *("allauth", "fido2", "requests", "django.contrib.admin", "django.contrib.admin.sites"),
    *("n2wbackup.urls", "policies.urls", "policies.views", "policies.forms", "policies.admin"),
}
NEEDLESS = AWS | QUEUES | REMOTE | COLOURS | PAGES

# Each command in a child of a process that has loaded what all of them load.
PROGRAM = """
import contextlib, json, os, sys
from n2wbackup import command_line
from n2wbackup.lib import programs
programs.without_pages()
import django; django.setup()
from django.db import connections
# The policy's scripts lack a key and a host, so `show_policy` names the pages where these are made.
if sys.argv[3:] and not os.fork():
    from tests import factories
    policy = factories.PolicyFactory.create(owner=factories.alice(), name=sys.argv[3])
    by_ssh = {"remote_by": "ssh", "remote_user": "ec2-user", "remote_key": "stored", "remote_port": 22}
    factories.PolicyTargetFactory.create(policy=policy, **by_ssh)
    os._exit(0)
assert not sys.argv[3:] or os.wait()[1] == 0
for words in json.loads(sys.argv[1]):
    connections.close_all()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    out, left = os.dup(1), ""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        command_line.main(["manage.py", *words.split()])
    except SystemExit as error:
        left = str(error.code or "")
    loaded = sorted(set(json.loads(sys.argv[2])) & set(sys.modules))
    os.write(out, (json.dumps([words, loaded, left]) + chr(10)).encode())
    os._exit(0)
"""


def loaded(
    calls: list[str], unwanted: set[str], home: Path, *, policy: str = ""
) -> dict[str, tuple[list[str], str]]:
    """Run the commands; return what of the unwanted each has loaded, and with which word it left.

    There are no rows, or one `policy` of Alice's.
    """
    empty.furnish(home)
    words = [json.dumps(calls), json.dumps(sorted(unwanted)), *filter(None, [policy])]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "n2wbackup.settings",
            "N2W_HOME": str(home),
            "N2W_RUN_SCRIPTS_AS": "self",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {words: (names, left) for words, names, left in rows}


def test_commands_that_need_neither_aws_nor_pages_load_none_of_them(tmp_path: Path) -> None:
    found = loaded(CALLS, NEEDLESS, tmp_path / "home", policy="shop")
    found |= loaded(WITHOUT_ACCOUNTS, NEEDLESS, tmp_path / "empty")

    assert set(found) == {*CALLS, *WITHOUT_ACCOUNTS}
    assert found["show_policy alice/shop"] == ([], "")
    assert {words: names for words, (names, _) in found.items() if names} == {}
    # They have come to their own answer, and not to a sentence about the surroundings.
    assert [
        left for _, left in found.values() if "not migrated" in left or "settings" in left
    ] == []


def test_what_is_loaded_is_seen(tmp_path: Path) -> None:
    found = loaded(["thaw_abandoned"], {"paramiko", "invoke"}, tmp_path / "home")

    assert found == {"thaw_abandoned": (["paramiko"], "")}


def test_a_new_command_is_without_pages_unless_it_is_named() -> None:
    assert command_line.without_pages() | command_line.WITH_PAGES == set(command_line.ours())
    assert command_line.without_pages().isdisjoint(command_line.WITH_PAGES)


@pytest.mark.parametrize("name", sorted(set(command_line.ours()) - {"serve", "doctor"}))
def test_no_command_makes_the_checks_that_load_every_page(name: str) -> None:
    asked = command_line.load(name).requires_system_checks

    assert set(asked) <= {"scripts", "trusted"}
