"""What lint says of scripts without running one, and what the command makes of it."""

import json
import os
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from policies.domain.errors import InputError
from policies.models import Policy
from policies.services.entry import linting
from scripts_admin.domain.remote import Remote
from scripts_admin.folders.linting import HELPERS_AT_MOST
from tests.policies.services.backup import Backup, is_one_sentence


def texts() -> list[tuple[str, str]]:
    return [(r.level, r.text) for each in linting.everything() for r in each.remarks]


def lint(*arguments: str) -> str:
    out = StringIO()
    call_command("lint_scripts", *arguments, stdout=out)
    return out.getvalue()


def test_good_scripts_get_no_remark_and_none_is_run(backup: Backup) -> None:
    backup.scripts()

    assert "nothing is wrong with the scripts of policy1" in lint()
    assert backup.marks == []


def test_windows_line_ends_behind_a_good_first_line_are_a_warning_and_no_refusal(
    backup: Backup,
) -> None:
    backup.script("after", "true")
    path = backup.script("before", "")
    path.write_bytes(b"#!/bin/bash\necho a\r\necho b >> marks\r\n")

    (found,) = texts()

    assert found[0] == "warning"
    assert "before_policy1.sh has Windows line ends (CRLF) behind its first line" in found[1]
    assert is_one_sentence(found[1])
    assert "warning: " in lint()


def test_files_for_instances_are_looked_at_as_what_is_carried(backup: Backup) -> None:
    backup.scripts()
    target = backup.policy.targets.get()
    target.remote = Remote(by="ssm").filled()
    target.save()
    for name in ("before_policy1@all.sh", "after_policy1@all.sh", "complete_policy1@all.sh"):
        (backup.folder / name).write_text("#!/bin/sh\nexit 0\n")  # not executable

    ((level, said),) = texts()

    assert level == "warning"
    assert said.startswith("complete_policy1@all.sh is never run: complete runs on the server only")

    (backup.folder / f"after_policy1@{target.instance_id}.sh").write_text("")

    assert ("error", f"after_policy1@{target.instance_id}.sh is empty") in [
        (level, text.partition(":")[0]) for level, text in texts()
    ]
    assert linting.places(backup.policy.folder, "policy1", backup.policy.owner).on_instances


def test_what_a_run_would_refuse_is_an_error(backup: Backup) -> None:
    backup.scripts()
    (backup.folder / "after_policy1.sh").unlink()
    (backup.folder / "after_policy1.sh").symlink_to("/etc/passwd")
    backup.script("complete", "").write_text("#!/usr/bin/env bash -e\n")

    found = texts()

    assert [level for level, _ in found] == ["error", "error"]
    assert "is a link that leads out of its folder" in found[0][1]
    assert "names the interpreter bash -e, which is not in" in found[1][1]
    with pytest.raises(CommandError, match="Not every script of alice can run"):
        lint()


@pytest.mark.parametrize(
    "name", ["Before_policy1.sh", "before_POLICY1.sh", "before_policy1", "before_policy1."]
)
def test_a_name_that_nearly_fits_a_phase_without_a_script_is_a_warning(
    backup: Backup, name: str
) -> None:
    backup.script("before", "").rename(backup.folder / name)

    (found,) = texts()

    assert found[0] == "warning"
    assert found[1].startswith(f"{name} is not before of policy1, because ")


def test_an_odd_name_reaches_no_terminal_as_it_is(backup: Backup) -> None:
    backup.script("after", "true")
    backup.script("before", "").rename(backup.folder / "before_policy1.\x1b[31m\udcff")

    with pytest.raises(CommandError):
        lint()
    (found,) = texts()
    assert found[1].startswith(r"before_policy1.\x1b[31m\xff has a name")


def test_an_account_that_is_not_there_is_said_once(backup: Backup, settings: Settings) -> None:
    settings.N2W_RUN_SCRIPTS_AS, settings.N2W_SCRIPT_USER = "cpmuser", "no-such-account"

    (found,) = linting.everything()

    assert "The Linux account no-such-account does not exist" in found.problem
    assert not found.is_fine


def test_only_the_owners_policies_with_scripts_are_judged(backup: Backup) -> None:
    assert [each.policies for each in linting.everything("alice")] == [["policy1"]]
    with pytest.raises(InputError, match="There is no user bob"):
        linting.everything("bob")
    Policy.objects.update(scripts_enabled=False)
    assert lint() == "No policy runs scripts.\n"


def test_json_has_every_remark(backup: Backup) -> None:
    backup.script("after", "true")
    backup.script("before", "").chmod(0o644)
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("lint_scripts", "alice", "--json", stdout=out)

    said: Any = json.loads(out.getvalue())

    (remark,) = said["folders"][0]["remarks"]
    assert remark["phase"] == "before"
    assert remark["level"] == "error"
    assert remark["files"] == ["before_policy1.sh"]
    assert "is not executable for" in remark["text"]
    assert (remark["code"], remark["file"], remark["line"]) == (
        "not-executable",
        "before_policy1.sh",
        0,
    )


def codes() -> list[str]:
    return [r.code for each in linting.everything() for r in each.remarks]


def test_a_before_without_an_after_is_a_warning(backup: Backup) -> None:
    backup.script("before", "true")

    assert codes() == ["no-after"]


def test_what_before_freezes_after_must_thaw(backup: Backup) -> None:
    backup.script("before", "fsfreeze -f /srv/shop || exit 1")
    backup.script("after", "true")
    assert "not-thawed" in codes()

    backup.script("after", "fsfreeze -u /srv/shop || true")
    assert "not-thawed" not in codes()


def test_a_script_of_no_policy_is_told(backup: Backup) -> None:
    backup.scripts()
    (backup.folder / "before_polcy1.sh").write_text("#!/bin/bash\ntrue\n")

    (found,) = texts()

    assert found[1].startswith(
        "before_polcy1.sh is never run, because no policy with the folder alice is called polcy1"
    )


def test_modes_and_owners_are_looked_at(backup: Backup) -> None:
    backup.scripts()
    key = backup.folder / "key.pem"
    key.write_text(f"{'-' * 5}BEGIN OPENSSH PRIVATE KEY{'-' * 5}\n{'A' * 64}\n")
    key.chmod(0o644)
    (backup.folder / "before_policy1.sh").chmod(0o777)
    assert sorted(codes()) == ["key-mode", "world-writable"]

    key.chmod(0o600)
    (backup.folder / "before_policy1.sh").chmod(0o755)
    os.chown(backup.folder / "before_policy1.sh", 12345, -1)
    assert codes() == ["wrong-owner"]


def test_shellcheck_and_the_shell_itself_are_asked(backup: Backup) -> None:
    backup.scripts()
    backup.script("complete", 'cd /srv\nrm *.log\necho "open')

    found = [r for each in linting.everything() for r in each.remarks]

    assert {"syntax", "SC1073"} <= {r.code for r in found}
    backup.script("complete", "cd /srv\nrm -- *.log")
    (remark,) = (r for each in linting.everything() for r in each.remarks)
    assert (remark.level, remark.code, remark.line) == ("warning", "SC2164", 2)
    assert is_one_sentence(remark.text)


def test_a_helper_is_looked_at_and_a_binary_is_not(backup: Backup) -> None:
    backup.scripts()
    (backup.folder / "purge").write_text("when='<sql_backup_time>'\nmysql -psecret -e x\n")
    (backup.folder / "program").write_bytes(b"\x7fELF\0\0mysql -psecret -e x\n")

    assert {"placeholder", "password-argument"} <= set(codes())
    assert all("program" not in r.file for each in linting.everything() for r in each.remarks)


def test_helpers_that_were_not_looked_at_are_told(backup: Backup) -> None:
    backup.scripts()
    for number in range(HELPERS_AT_MOST + 2):
        (backup.folder / f"helper{number:02}").write_text("true\n")

    (said,) = [text for _, text in texts() if "were looked at" in text]

    assert f"Only the first {HELPERS_AT_MOST} of {HELPERS_AT_MOST + 2} helper files" in said
    assert is_one_sentence(said)
    (backup.folder / "helper00").unlink()
    (backup.folder / "helper01").unlink()
    assert "helpers-left-out" not in codes()
