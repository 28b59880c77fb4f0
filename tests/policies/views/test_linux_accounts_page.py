"""The page of Linux accounts says how each is, and what root runs."""

import os
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from n2wbackup import doctor
from scripts_admin.domain import linux_register
from scripts_admin.domain.linux_register import Kind, Ours
from scripts_admin.domain.places import Places
from scripts_admin.folders.provisioning import machine, tenants
from tests.factories import UserFactory
from tests.policies.views import logins

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
PAGE = "/people/linux/accounts/"
EVIL = '"><svg/onload=alert(1)>'


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(UserFactory.create(username="boss", is_superuser=True))
    logins.confirm(client)
    return client


@pytest.fixture
def register(tmp_path: Path, settings: Settings) -> Path:
    settings.N2W_HOME = tmp_path
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    settings.N2W_LINUX_PLACES = Places(str(tmp_path), "n2wt", "n2wt", str(tmp_path))
    path = tmp_path / "etc/n2wbackup/accounts"
    path.parent.mkdir(parents=True)
    return path


def listed(path: Path, *accounts: Ours) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can write root's list")
    path.write_text(linux_register.written(accounts))
    path.chmod(0o644)


def test_without_accounts_it_says_what_makes_them(boss: Client, register: Path) -> None:
    UserFactory.create(username="alice")

    page = boss.get(PAGE).content.decode()

    assert "No Linux account was made yet." in page
    assert "n2w provision_user --all" in page
    assert "n2w provision_user alice" in page
    assert [each.text for each in doctor.findings() if each.name == "accounts"] == [
        "provision_user made none"
    ]


def test_what_is_wrong_is_named_with_what_mends_it(
    boss: Client, register: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alice", "bob", "carol"):
        UserFactory.create(username=name, is_active=name != "bob")
    ids = {"alice": 45001, "bob": 45002, "carol": 45003, "gone": 45004}
    monkeypatch.setattr(machine, "uid_of", ids.get)
    key = f"SHA256:{EVIL.replace(' ', '')}"
    listed(
        register,
        Ours("alice", 45001, 45001, Kind.TENANT, keys=(key,)),
        Ours("bob", 45002, 45002, Kind.TENANT),
        Ours("gone", 45004, 45004, Kind.TENANT),
    )

    page = boss.get(PAGE).content.decode()

    assert EVIL not in page
    assert "SHA256:&quot;&gt;&lt;svg" in page
    assert "scripts/alice cannot be looked at" in page
    assert "n2w provision_user alice" in page
    assert "n2w provision_user bob --remove" in page
    assert "n2w provision_user gone --remove" in page
    assert "The Linux account carol (uid 45003) exists, and provision_user did not make it" in page
    assert "sshd may let accounts do more than write scripts" in page
    assert "scripts may reach the metadata service" in page
    (said,) = [each for each in doctor.findings() if each.name == "accounts"]
    assert not said.ok
    assert (
        "bob: The user is deactivated, deleted or a superuser. sshd lets nobody in as the account any more, but it is "
        "not locked yet, so what it runs goes on." in said.text
    )


def test_a_locked_account_of_a_deactivated_user_is_right(
    boss: Client, register: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    UserFactory.create(username="bob", is_active=False)
    listed(register, Ours("bob", 45002, 45002, Kind.TENANT, is_locked=True))
    monkeypatch.setattr(machine, "uid_of", {"bob": 45002}.get)
    monkeypatch.setattr(tenants, "is_locked", lambda _: True)

    page = boss.get(PAGE).content.decode()

    assert ">locked<" in page or "locked" in page
    assert "provision_user bob" not in page
