"""Scripts on instances as code: stored, exported and compared as said, and each mistake at its place."""

from pathlib import Path

import pytest
from pytest_django import Settings

from policies.models import Policy, PolicyTarget
from policies.services.document import applying, exporting
from policies.services.document.applying import MistakesError
from scripts_admin.domain.remote import Remote
from scripts_admin.models import AuditEntry

ONE, TWO = "i-0123456789abcdef0", "i-0fedcba9876543210"
DOCUMENT = """\
users:
  - {name: alice}
accounts:
  - {owner: alice, name: lab, auth: keys, access_key_id: AKIAX, secret_access_key_env: LAB, region: us-east-1}
policies:
  - owner: alice
    name: p
    account: lab
    targets:
      - {instance: i-0123456789abcdef0, region: us-east-1, remote: %s}
      - {instance: i-0fedcba9876543210, region: us-east-1}
"""
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def scripts_root(settings: Settings, tmp_path: Path) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"


def _apply(remote: str, *, dry_run: bool = False) -> dict[str, str]:
    changes = applying.apply(DOCUMENT % remote, {"LAB": "wJalrXUtnFEMI"}, dry_run=dry_run)
    return dict(changes[-1].fields)


def _stored() -> Remote:
    return PolicyTarget.objects.get(instance_id=ONE).remote


FULL = (
    "{by: ssh, user: ec2-user, key: stored, host: 10.0.0.5, port: 2222, bastion: jump@b.example.org, sudo: true, "
    "scripts: {before: /opt/freeze, after: /opt/thaw}}"
)


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("{by: ssh, user: ec2-user}", Remote("ssh", "ec2-user", "instance-connect", port=22)),
        (
            "{by: ssh, user: ec2-user, key: instance-connect, host: null, port: 22, bastion: null, sudo: false}",
            Remote("ssh", "ec2-user", "instance-connect", port=22),
        ),
        (
            FULL,
            Remote(
                *("ssh", "ec2-user", "stored", "10.0.0.5", 2222, "jump@b.example.org"),
                sudo=True,
                before="/opt/freeze",
                after="/opt/thaw",
            ),
        ),
        ("{by: ssm}", Remote("ssm", document="AWS-RunShellScript")),
        ("{by: ssm, document: X-Y}", Remote("ssm", document="X-Y")),
        ("null", Remote()),
    ],
)
def test_what_is_said_is_stored_exported_and_applied_again_without_a_change(
    said: str, stored: Remote
) -> None:
    _apply(said)

    assert _stored() == stored
    assert PolicyTarget.objects.get(instance_id=TWO).remote == Remote()
    again = applying.apply(exporting.export(), {})
    assert {(change.action, *change.fields) for change in again} == {("unchanged",)}
    assert _apply(said) == {}


def test_the_export_has_it_only_where_scripts_run() -> None:
    _apply("{by: ssm}")

    text = exporting.export()

    assert text.count("remote") == 1
    assert "by: ssm" in text
    assert "sudo" not in text


def test_a_change_is_told_in_words_and_entered_in_the_audit() -> None:
    _apply("null")

    fields = _apply("{by: ssh, user: ec2-user, sudo: true}")

    words = f"{ONE} in us-east-1 [scripts by SSH as ec2-user with EC2 Instance Connect, with sudo]"
    assert fields["targets"].endswith(f"{words}, {TWO} in us-east-1")
    assert any(words in str(entry.changes) for entry in AuditEntry.objects.filter(kind="policy"))


def test_a_dry_run_tells_the_same_and_stores_nothing() -> None:
    _apply("null")

    told = _apply("{by: ssm}", dry_run=True)

    assert "by SSM with AWS-RunShellScript" in told["targets"]
    assert _stored() == Remote()


@pytest.mark.parametrize(
    ("said", "field", "says"),
    [
        ("{by: ssm, sudo: true}", "remote.sudo", "so sudo has no meaning"),
        ("{by: shh}", "remote.by", "Did you mean ssh?"),
        ("{by: ssh, user: u, keys: stored}", "remote.keys", "did you mean key?"),
        ("{user: u}", "remote.by", "by is missing: add it."),
        ("{by: ssh}", "remote.user", "name it, such as ec2-user"),
        ("{by: ssh, user: 7}", "remote.user", "This must be text, not a number"),
        ("{by: ssh, user: u, port: many}", "remote.port", "This must be a whole number"),
        ("{by: ssh, user: u, scripts: {before: x}}", "remote.scripts.before", "is no path"),
        ("{by: ssh, user: u, scripts: {complete: /x}}", "remote.scripts.complete", "not known"),
        ("ssm", "remote", "This must be a mapping (key: value), not text."),
        ('{by: ssh, user: "><svg onload=alert(1)>"}', "remote.user", "is no name of a Linux"),
    ],
)
def test_a_mistake_is_told_once_at_its_place_and_nothing_is_stored(
    said: str, field: str, says: str
) -> None:
    with pytest.raises(MistakesError) as caught:
        _apply(said)

    ((place, sentence),) = caught.value.mistakes
    assert place.field == f"policies[0].targets[0].{field}"
    assert says in sentence
    assert (place.line, place.column > 50) == (10, True)
    assert not Policy.objects.exists()


def test_ssm_needs_neither_key_nor_host() -> None:
    changes = applying.apply(DOCUMENT % "{by: ssm}", {"LAB": "wJalrXUtnFEMI"}, dry_run=True)

    assert changes[-1].warnings == ()


def test_what_is_not_there_yet_is_a_warning_with_its_page_and_no_mistake() -> None:
    said = "{by: ssh, user: u, key: stored, bastion: b.example.org}"

    changes = applying.apply(DOCUMENT % said, {"LAB": "wJalrXUtnFEMI"}, dry_run=True)

    key, bastion, host = changes[-1].warnings
    assert key.endswith("and put its public half on the instances. /scripts/alice/keys/")
    assert bastion.startswith(f"The SSH host b.example.org, on the way to {ONE}, is not approved")
    assert host.startswith(f"No approved SSH host belongs to {ONE}")
    assert host.endswith("/scripts/alice/hosts/")


def test_a_volume_has_no_scripts() -> None:
    text = DOCUMENT.replace("instance: i-0123456789abcdef0", "volume: vol-0123456789abcdef0")

    with pytest.raises(MistakesError) as caught:
        applying.apply(text % "{by: ssm}", {"LAB": "wJalrXUtnFEMI"})

    ((place, sentence),) = caught.value.mistakes
    assert place.field == "policies[0].targets[0].remote.by"
    assert "is a volume, so no script can run on it" in sentence
