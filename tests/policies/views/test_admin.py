import re

import pytest
from django.test import Client
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.models import Account, Policy, Run, RunEvent
from scripts_admin.models import Folder, User
from tests import factories
from tests.policies.views.admin_forms import INSTANCE, SECRET, errors, policy_form, url, user

ANEW = "n3wK7MDENGbPxRfiCYzWalrXUtnFEMIQ4tR9sVbX"

pytestmark = pytest.mark.django_db


PAGES = [
    *("/admin/", "/admin/scripts_admin/user/", "/admin/scripts_admin/user/add/"),
    *("/admin/auth/group/", "/admin/auth/group/add/", "/admin/scripts_admin/folder/"),
    *("/admin/policies/account/", "/admin/policies/account/add/", "/admin/policies/policy/"),
    *("/admin/policies/policy/add/", "/admin/policies/run/"),
]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens(client: Client, boss: User, run: Run, page: str) -> None:
    assert client.get(page).status_code == 200


def test_every_row_has_its_page(client: Client, boss: User, run: Run, policy: Policy) -> None:
    for row in (boss, policy, policy.account, policy.folder, run):
        assert client.get(url(row)).status_code == 200, row


def test_a_new_user_gets_a_folder(client: Client, boss: User, settings: Settings) -> None:
    form = {"username": "carol", "usable_password": "true", "email": "c@example.org"}
    form |= {"password1": "correct horse battery", "password2": "correct horse battery"}

    client.post("/admin/scripts_admin/user/add/", form)

    carol = User.objects.get(username="carol")
    assert carol.check_password("correct horse battery")
    assert Folder.objects.get(owner=carol).name == "carol"
    assert (settings.N2W_SCRIPTS_ROOT / "carol").is_dir()


@pytest.mark.parametrize("name", ["root", "daemon", "Carol", "boss"])
def test_a_name_that_no_user_may_have_is_told_and_nobody_is_made(
    client: Client, boss: User, name: str
) -> None:
    form = {"username": name, "usable_password": "false"}

    response = client.post("/admin/scripts_admin/user/add/", form)

    assert response.status_code == 200
    assert len(errors(response.content)) == 1
    assert list(User.objects.values_list("username", flat=True)) == ["boss"]


def test_a_folder_that_cannot_be_made_is_told_and_nobody_is_made(
    client: Client, boss: User, settings: Settings
) -> None:
    (settings.N2W_SCRIPTS_ROOT / "carol").touch()
    form = {"username": "carol", "usable_password": "false"}

    response = client.post("/admin/scripts_admin/user/add/", form, follow=True)

    assert "cannot be created" in response.content.decode()
    assert not User.objects.filter(username="carol").exists()


def test_a_users_name_cannot_be_changed(client: Client, boss: User, alice: User) -> None:
    client.post(
        url(alice),
        {
            "username": "eve",
            "email": "a@example.org",
            "is_active": "on",
            "date_joined_0": "2026-01-01",
            "date_joined_1": "00:00",
        },
    )

    alice.refresh_from_db()
    assert (alice.username, alice.email) == ("alice", "a@example.org")


def test_a_password_has_its_page(client: Client, boss: User, alice: User) -> None:
    page = f"/admin/scripts_admin/user/{alice.pk}/password/"

    assert client.get(page).status_code == 200
    client.post(
        page,
        {"usable_password": "true", "password1": "staple-battery", "password2": "staple-battery"},
    )

    alice.refresh_from_db()
    assert alice.check_password("staple-battery")


def test_an_owner_is_not_deleted_and_who_owns_nothing_is(
    client: Client, boss: User, policy: Policy
) -> None:
    client.post(url(policy.owner, "delete"), {"post": "yes"})
    assert User.objects.filter(username="alice").exists()
    assert Folder.objects.filter(name="alice").exists()

    carol = user("carol")
    client.post(url(carol, "delete"), {"post": "yes"})
    assert not User.objects.filter(username="carol").exists()


def test_a_secret_is_never_shown(client: Client, boss: User, policy: Policy) -> None:
    for page in (url(policy.account), "/admin/policies/account/", url(policy.account, "history")):
        assert SECRET not in client.get(page).content.decode()


def test_a_secret_is_not_shown_with_a_mistake_either(client: Client, boss: User) -> None:
    form = {
        "owner": boss.pk,
        "name": "",
        "auth": "keys",
        "access_key_id": "A",
        "new_secret": SECRET,
    }

    response = client.post("/admin/policies/account/add/", form)

    assert errors(response.content)
    assert SECRET not in response.content.decode()


@pytest.mark.parametrize(("entered", "kept"), [("", SECRET), ("another", "another")])
def test_an_empty_secret_keeps_the_old_one(
    client: Client, boss: User, policy: Policy, entered: str, kept: str
) -> None:
    form = {"name": "lab2", "auth": "keys", "access_key_id": "AKIB", "region": "us-west-2"}

    client.post(url(policy.account), form | {"new_secret": entered})

    account = Account.objects.get()
    assert (account.name, account.access_key_id) == ("lab2", "AKIB")
    assert account.secret_access_key == kept


def test_a_new_account_with_keys_needs_a_secret(client: Client, boss: User) -> None:
    form = {
        "owner": boss.pk,
        "name": "lab",
        "auth": "keys",
        "access_key_id": "A",
        "region": "us-east-1",
    }

    response = client.post("/admin/policies/account/add/", form)
    assert errors(response.content) == ["Access keys need a secret access key: enter it."]
    assert not Account.objects.exists()

    client.post("/admin/policies/account/add/", form | {"new_secret": SECRET})
    assert Account.objects.get().secret_access_key == SECRET


def test_an_account_whose_encryption_key_is_lost_can_be_given_a_new_secret(
    client: Client, boss: User, policy: Policy, settings: Settings
) -> None:
    settings.N2W_ENCRYPTION_KEYS = ["A" * 43 + "="]
    form = {"name": "lab", "auth": "keys", "access_key_id": "A", "region": "us-east-1"}

    assert client.get(url(policy.account)).status_code == 200
    client.post(url(policy.account), form | {"region": "us-west-2"})
    assert Account.objects.defer("secret_access_key").get().region == "us-west-2"
    client.post(url(policy.account), form | {"new_secret": ANEW})

    assert Account.objects.get().secret_access_key == ANEW


def test_a_run_shows_what_its_scripts_wrote_as_text(client: Client, boss: User, run: Run) -> None:
    bad = "<script>alert(1)</script>"
    factories.result(run, "before", outcome="failed", exit_code=3, stdout=bad, stderr=bad)
    RunEvent.objects.create(run=run, at=clock.now(), state=State.FROZEN, text=bad)
    Run.objects.update(reason=bad)

    page = client.get(url(run)).content.decode()

    assert bad not in page
    assert page.count("&lt;script&gt;alert(1)") >= 2
    for stream in ("stdout", "stderr"):
        address = f"/runs/{run.pk}/output/before/1/{stream}"
        assert f'<a href="{address}">25 bytes</a>' in page
        printed = client.get(address).content.decode()
        assert bad not in printed
        assert "&lt;script&gt;alert(1)" in printed


def test_a_run_is_neither_made_changed_nor_deleted(client: Client, boss: User, run: Run) -> None:
    assert client.get("/admin/policies/run/add/").status_code == 403
    assert client.post(url(run), {"state": "succeeded"}).status_code == 403
    assert client.post(url(run, "delete"), {"post": "yes"}).status_code == 403
    form = {"action": "delete_selected", "_selected_action": run.pk, "post": "yes"}
    client.post("/admin/policies/run/", form)

    assert Run.objects.get().state == State.FROZEN


def test_staff_meets_nothing_that_is_not_theirs(
    client: Client, bob: User, policy: Policy, run: Run
) -> None:
    for name in ("account", "policy", "run"):
        page = client.get(f"/admin/policies/{name}/").content.decode()
        assert "policy1" not in page
        assert "lab" not in re.sub(r"<[^>]*>|label", "", page)
    for row in (policy, policy.account, run):
        gone = client.post(url(row), {"name": "mine"}, follow=True)
        assert gone.redirect_chain or gone.status_code in {403, 404}
    for row in (policy, policy.account):
        client.post(url(row, "delete"), {"post": "yes"})
    assert (Policy.objects.get().name, Account.objects.get().name) == ("policy1", "lab")


def test_staff_can_neither_use_a_strangers_account_nor_give_a_policy_away(
    client: Client, bob: User, policy: Policy
) -> None:
    target = {"instance_id": INSTANCE, "region": "us-east-1"}
    stolen = Policy(owner=bob, account=policy.account, name="mine")
    given = Policy(owner=policy.owner, account=policy.account, name="mine")

    for new in (stolen, given):
        response = client.post("/admin/policies/policy/add/", policy_form(new, target))
        assert errors(response.content)
    assert not Policy.objects.filter(name="mine").exists()


def test_staff_makes_no_account_for_somebody_else(client: Client, bob: User, alice: User) -> None:
    form = {"name": "lab", "auth": "keys", "access_key_id": "A", "region": "us-east-1"}
    form |= {"owner": str(alice.pk), "new_secret": SECRET}

    assert errors(client.post("/admin/policies/account/add/", form).content)
    assert not Account.objects.exists()
    client.post("/admin/policies/account/add/", form | {"owner": str(bob.pk)})
    assert Account.objects.get().owner == bob


def test_staff_makes_a_policy_of_their_own(client: Client, bob: User) -> None:
    account = Account.objects.create(
        owner=bob, name="own", access_key_id="A", secret_access_key=SECRET
    )
    target = {"instance_id": INSTANCE, "region": "us-east-1"}
    new = Policy(owner=bob, account=account, name="mine")

    client.post("/admin/policies/policy/add/", policy_form(new, target))

    assert Policy.objects.get().folder.name == "bob"


@pytest.mark.parametrize("page", ["scripts_admin/user", "auth/group"])
def test_staff_meets_no_users_and_groups_whatever_they_were_allowed(
    client: Client, bob: User, page: str
) -> None:
    assert client.get(f"/admin/{page}/").status_code == 403
    assert client.get(f"/admin/{page}/add/").status_code == 403
    client.post(url(bob), {"username": "bob", "is_superuser": "on"})
    assert not User.objects.get(username="bob").is_superuser
