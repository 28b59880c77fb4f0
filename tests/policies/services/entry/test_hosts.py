"""Which console belongs to a host; and the commands for keys and hosts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from policies.domain.errors import NotPermittedError
from policies.services.entry import hosts as entry
from scripts_admin.hosts import asking, keypairs
from scripts_admin.hosts.asking import Answer
from scripts_admin.models import HostState, SshHost, SshKey
from tests.policies.services.backup import Backup

KEY = keypairs.make().public
SHOWN = f"ec2: 256 {KEY.fingerprint} root@db1 (ED25519)\n"


@pytest.fixture
def db1(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> Backup:
    """The instance of the policy has an address, and answers at it."""
    instance = backup.instance
    answer = {**instance.answer, "PrivateIpAddress": "10.0.0.7", "PublicDnsName": ""}
    backup.cloud._instances[instance.instance_id] = replace(instance, answer=answer)
    monkeypatch.setattr(asking, "ask", lambda *_, **__: Answer(KEY, "10.0.0.7"))
    return backup


def test_a_console_is_found_by_the_address_that_answered(db1: Backup) -> None:
    instance_id = db1.instance.instance_id
    db1.cloud.consoles[instance_id] = (SHOWN, "login:")

    found = entry.console(db1.policy.folder, "", {"db1.example.org", "10.0.0.7"})

    assert (found.instance_id, found.text, found.problem) == (instance_id, SHOWN, "")
    assert entry.console(db1.policy.folder, "", {"10.0.0.8"}).instance_id == ""


def test_what_a_console_shows_now_is_read_where_the_start_is_forgotten(db1: Backup) -> None:
    instance_id = db1.instance.instance_id
    db1.cloud.consoles[instance_id] = ("", SHOWN)
    assert SHOWN in entry.console(db1.policy.folder, instance_id, set()).text

    db1.cloud.consoles[instance_id] = ("early", None)
    assert entry.console(db1.policy.folder, instance_id, set()).text == "early"


def test_a_console_that_may_not_be_read_says_so(db1: Backup) -> None:
    db1.cloud.fail_next("console_output", NotPermittedError("ec2:GetConsoleOutput is missing."))

    found = entry.console(db1.policy.folder, db1.instance.instance_id, set())

    assert (found.text, found.problem) == ("", "ec2:GetConsoleOutput is missing.")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    call_command(*words, "--json")
    return json.loads(capsys.readouterr().out)


def test_commands_make_a_key_and_approve_a_host(
    db1: Backup, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = said(capsys, "add_key", "alice")
    key = SshKey.objects.get()
    assert made["authorized_keys"] == key.authorized_keys
    assert "PRIVATE" not in json.dumps(made)
    file = tmp_path / "key"
    file.write_text(keypairs.make().private)
    assert said(capsys, "add_key", "alice", "--file", str(file))["valid"]

    approved = said(
        capsys, "approve_host", "alice", "db1", "--fingerprint", KEY.fingerprint, "--port", "2222"
    )
    assert (approved["state"], approved["fingerprint"]) == ("approved", KEY.fingerprint)
    assert approved["instance"] == db1.instance.instance_id
    listed = said(capsys, "list_hosts", "alice")["hosts"]
    assert [(each["host"], each["port"]) for each in listed] == [("db1", 2222)]


def test_a_command_approves_neither_another_key_nor_one_that_nobody_compared(db1: Backup) -> None:
    wrong = keypairs.make().public.fingerprint
    with pytest.raises(CommandError, match="THE WRONG KEY"):
        call_command("approve_host", "alice", "db1", "--fingerprint", wrong)
    with pytest.raises(CommandError, match=f"--fingerprint {KEY.fingerprint}".replace("+", r"\+")):
        call_command("approve_host", "alice", "db2")
    with pytest.raises(CommandError, match="is no host"):
        call_command("approve_host", "alice", "a b")

    assert not SshHost.objects.filter(state=HostState.APPROVED).exists()
