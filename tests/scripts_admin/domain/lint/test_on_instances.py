"""What lint says of scripts that run on an instance: nothing of this server, and what matters there."""

import pytest

from scripts_admin.domain.lint import rules
from scripts_admin.domain.lint.on_disks import Surroundings
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script
from scripts_admin.domain.remote import Remote

SERVER = Surroundings(
    mounts=("/", "/cpmdata", "/data"), needed=(("/cpmdata/scripts", "the scripts"),)
)
REMOTE = "before_shop@i-0123456789abcdef0.sh"
UNKNOWN = None
SSH = Remote(by="ssh", user="backup").filled()
ROOT = Remote(by="ssh", user="root").filled()
SUDO = Remote(by="ssh", user="backup", sudo=True).filled()
SSM = Remote(by="ssm").filled()


def remarks(text: str, how: Remote | None = SUDO, name: str = REMOTE) -> list[Remark]:
    return rules.of_script(Script(name, f"#!/bin/bash\n{text}\n"), SERVER, how)


def codes(text: str, how: Remote | None = SUDO, name: str = REMOTE) -> list[str]:
    return [each.code for each in remarks(text, how, name)]


@pytest.mark.parametrize("how", [UNKNOWN, SUDO, ROOT, SSM])
def test_a_disk_of_the_servers_name_is_not_the_servers(how: Remote | None) -> None:
    for path in ("/cpmdata", "/cpmdata/scripts", "/data", "/srv"):
        assert "frozen-disk" not in codes(f"fsfreeze -f {path}", how)
        assert "the server" not in "".join(r.text for r in remarks(f"fsfreeze -f {path}", how))
    assert codes("fsfreeze -f /cpmdata", how, "before_shop.sh") == ["frozen-disk"]


@pytest.mark.parametrize("how", [UNKNOWN, SUDO, ROOT, SSM])
@pytest.mark.parametrize("path", ["/", "/var", "/var/log"])
def test_what_the_instance_needs_for_the_thaw_is_an_error(path: str, how: Remote | None) -> None:
    (found,) = [each for each in remarks(f"fsfreeze -f {path}", how) if each.code == "frozen-disk"]

    assert found.level == Level.ERROR
    assert "on the instance" in found.text
    assert "docs/recipes" not in found.text


@pytest.mark.parametrize("path", ["/var/lib", "/var/lib/amazon", "/var/snap/amazon-ssm-agent"])
def test_the_agents_folders_are_an_error_by_ssm_and_none_by_ssh(path: str) -> None:
    text = f"fsfreeze -f {path}"

    (by_ssm,) = [each for each in remarks(text, SSM) if each.code == "frozen-agent"]
    (unknown,) = [each for each in remarks(text, UNKNOWN) if each.code == "frozen-agent"]

    assert by_ssm.level == Level.ERROR
    assert "after never starts" in by_ssm.text
    assert unknown.level == Level.WARNING
    assert unknown.text.startswith("By SSM, ")
    assert "frozen-agent" not in codes(text, SUDO)


def test_the_system_disk_by_ssm_is_told_with_the_agents_reason_and_once() -> None:
    for path in ("/", "/var"):
        found = [each for each in remarks(f"fsfreeze -f {path}", SSM) if "frozen" in each.code]
        assert [each.code for each in found] == ["frozen-disk"]
        assert "agent" in found[0].text


@pytest.mark.parametrize(
    "text", ["systemctl stop amazon-ssm-agent", "service amazon-ssm-agent stop"]
)
def test_who_stops_the_agent_is_never_thawed_by_ssm(text: str) -> None:
    assert "stops-its-way" in codes(text, SSM)
    assert "stops-its-way" in codes(text, UNKNOWN)
    assert "stops-its-way" not in codes(text, SUDO)


@pytest.mark.parametrize("text", ["systemctl stop sshd", "systemctl stop ssh.service"])
def test_who_stops_sshd_cannot_be_asked_again_by_ssh(text: str) -> None:
    assert "stops-its-way" in codes(text, SUDO)
    assert "stops-its-way" not in codes(text, SSM)


@pytest.mark.parametrize(
    "text",
    [
        "fsfreeze -f /data",
        "xfs_freeze -f /data",
        "systemctl stop shop",
        "mount -o ro /x",
        "x || fsfreeze -f /d",
    ],
)
def test_an_account_without_sudo_that_does_what_root_may_is_told(text: str) -> None:
    (found,) = [each for each in remarks(text, SSH) if each.code == "needs-root"]

    assert found.level == Level.WARNING
    assert "as backup" in found.text
    assert all("needs-root" not in codes(text, how) for how in (UNKNOWN, ROOT, SUDO, SSM))
    assert "needs-root" not in codes(f"sudo -n {text}", SSH) or text.startswith("x")


def test_sudo_where_root_runs_the_script_is_advice() -> None:
    for how in (ROOT, SUDO, SSM):
        (found,) = [
            each
            for each in remarks("sudo -n fsfreeze -f /data", how)
            if each.code == "sudo-of-root"
        ]
        assert found.level == Level.ADVICE
    for unsure in (UNKNOWN, SSH):
        assert "sudo-of-root" not in codes("sudo -n fsfreeze -f /data", unsure)
    assert "sudo-of-root" not in codes("sudo -n -u postgres psql -c checkpoint", SSM)


@pytest.mark.parametrize(
    "text",
    [
        '. "$(dirname -- "$0")/shop.conf"',
        "source ./shop.conf",
        "./helper freeze",
        "bash ./helper.sh",
        '"$(dirname "$0")"/helper',
        '. "${0%/*}/shop.conf"',
        'folder=$(dirname "$0")\n. "$folder/shop.conf"',
    ],
)
def test_a_helper_that_stays_on_the_server_is_told(text: str) -> None:
    (found,) = [each for each in remarks(text) if each.code == "stays-here"]

    assert found.level == Level.WARNING
    assert "only this file is carried" in found.text
    assert "stays-here" not in codes(text, name="before_shop.sh")


@pytest.mark.parametrize(
    "text",
    [
        ". /etc/n2wbackup/shop.conf",
        "/opt/shop/freeze",
        'echo "$0"',
        "[ ! -r ./shop.conf ] || . ./shop.conf",
        "if [ -r ./shop.conf ]; then . ./shop.conf; fi",
    ],
)
def test_what_lies_on_the_instance_is_no_helper(text: str) -> None:
    assert "stays-here" not in codes(text)


def test_a_host_key_of_another_machine_is_not_approved_on_the_page_of_hosts() -> None:
    text = "ssh -o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=no u@h true"

    (found,) = [each for each in remarks(text) if each.code == "ssh-host-key"]

    assert "known_hosts of the instance" in found.text
    assert "page" not in found.text


def test_a_secret_is_told_of_ssm_only_where_it_may_go_that_way() -> None:
    text = "DB_PASSWORD=hunter22"

    assert "secret-over-ssm" in codes(text, UNKNOWN)
    assert "secret-over-ssm" not in codes(text, SUDO)


def test_a_script_of_the_server_gets_none_of_these() -> None:
    text = ". ./shop.conf\nsystemctl stop sshd\nfsfreeze -f /var/lib/x\nsudo -n true"
    wanted = {"stays-here", "stops-its-way", "frozen-agent", "needs-root", "sudo-of-root"}

    assert not wanted & set(codes(text, UNKNOWN, "before_shop.sh"))
