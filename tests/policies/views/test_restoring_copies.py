"""The form of a restore offers the copies of the run, and says when only they are left."""

import pytest
from django.test import Client

from policies.models import OpenedSnapshot, Recovery
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.models import User
from tests import factories
from tests.policies.services.recovery.copied import THERE, VAULT, Copied, copy_all
from tests.policies.views import logins
from tests.policies.views.page import check_can_be_read_aloud, client_of, read

pytestmark = pytest.mark.django_db


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> Copied:
    made = copy_all(monkeypatch)
    made.copy(made.vault)
    return made


@pytest.fixture
def hers(copied: Copied) -> Client:
    return logins.confirm(client_of(User.objects.get(username="alice")))


def test_a_copy_is_chosen_and_shown_before_the_click(copied: Copied, hers: Client) -> None:
    address = f"/runs/{copied.run.pk}/restore/"
    asked = {"kind": "volume", "volume_id": copied.restored.data, "source": VAULT}

    shown = hers.post(address, {**asked, "do": "look"}).content.decode()
    assert f"from {copied.of(copied.restored.data)} in {THERE}a" in shown
    assert "With the account vault." in shown
    hers.post(address, {**asked, "do": "restore"})

    recovery = Recovery.objects.get()
    page = read(hers, f"/recoveries/{recovery.pk}/")
    check_can_be_read_aloud(page)
    assert f"from the copy in vault, {THERE}" in " ".join(page.text.split())
    assert f"copy in {VAULT}" in " ".join(read(hers, "/recoveries/").text.split())


def test_where_only_copies_are_left_the_form_says_so(copied: Copied, hers: Client) -> None:
    address = f"/runs/{copied.run.pk}/restore/"
    assert "snapshots themselves are gone" not in read(hers, address).text
    copied.lose()
    copied.know()

    assert address in read(hers, f"/runs/{copied.run.pk}/").links
    page = read(hers, address)

    assert "The snapshots themselves are gone." in page.text
    shown = hers.post(
        address, {"kind": "volume", "volume_id": copied.restored.data, "do": "look"}
    ).content.decode()
    assert copied.of(copied.restored.data) in shown
    assert "is used instead" in shown


def test_the_list_of_snapshots_and_the_run_show_copies_and_what_can_be_done(
    copied: Copied, hers: Client
) -> None:
    copied.lose()
    copied.know()
    run, data = copied.run.pk, copied.restored.data
    copy = copied.of(data)
    wanted = {
        f"/snapshots/{copy}/files/",
        f"/runs/{run}/restore/?volume_id={data}&source=vault/{THERE}",
        f"/runs/{run}/prove/?snapshot={copy}",
    }

    for address in ("/snapshots/", f"/runs/{run}/"):
        page = read(hers, address)
        check_can_be_read_aloud(page)
        assert wanted <= set(page.links), address
        text = " ".join(page.text.split())
        assert copy in text
        assert f"{THERE}, account vault" in text or "vault" in text
    form = read(hers, f"/runs/{run}/restore/?volume_id={data}&source=vault/{THERE}")
    assert "copy in vault" in form.text


def test_who_only_sees_is_offered_nothing_and_a_stranger_sees_no_copy(copied: Copied) -> None:
    copy = copied.of(copied.restored.data)
    policy = copied.run.policy
    assert policy is not None
    permissions.grant(factories.bob(), policy, [Right.VIEW])
    bob = logins.confirm(client_of(factories.bob()))
    charlie = logins.confirm(client_of(factories.charlie()))

    for address in ("/snapshots/", f"/runs/{copied.run.pk}/"):
        page = read(bob, address)
        assert copy in page.text
        assert not [link for link in page.links if link and (copy in link or "source=" in link)]
    assert copy not in read(charlie, "/snapshots/").text
    assert charlie.get(f"/runs/{copied.run.pk}/").status_code == 404
    for client in (bob, charlie):
        assert client.get(f"/snapshots/{copy}/files/").status_code == 404
        assert client.post(f"/snapshots/{copy}/files/").status_code == 404
        assert client.get(f"/runs/{copied.run.pk}/restore/?source={VAULT}").status_code == 404
        assert client.get(f"/runs/{copied.run.pk}/prove/?source={VAULT}").status_code == 404
    assert not OpenedSnapshot.objects.exists()
