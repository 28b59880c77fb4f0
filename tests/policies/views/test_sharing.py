"""Sharing on its pages: who is let in, what the page says, and what each right opens elsewhere."""

from pathlib import Path

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from pytest_django import Settings

from policies.domain.runs.trigger import Trigger
from policies.models import Account, Policy, PolicyTarget, Run, Schedule
from policies.services import runs
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.folders import storage
from scripts_admin.models import AuditEntry, Folder, User
from scripts_admin.services import users
from tests.policies.views import admin_forms, browser_form, logins
from tests.policies.views.page import check_can_be_read_aloud, client_of, read

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
PAGE = "/policies/alice/policy1/sharing/"
FOLDER = "/scripts/alice/sharing/"
BAD_TEXT = '"><svg onload=alert(1)>'


@pytest.fixture
def hers(policy: Policy) -> Client:
    """Return Alice's client; she has just confirmed who she is."""
    return logins.confirm(client_of(policy.owner))


@pytest.fixture
def bob() -> User:
    return admin_forms.user("bob")


def as_bob(policy: Policy, *rights: Right) -> Client:
    person = User.objects.get(username="bob")
    permissions.grant(person, policy, rights)
    return client_of(person)


def form(name: str, *rights: str, kind: str = "person", do: str = "save") -> dict[str, object]:
    return {"kind": kind, "name": name, "rights": rights, "do": do}


@pytest.mark.parametrize(("page", "kind"), [(PAGE, "policy"), (FOLDER, "folder")])
def test_rights_are_given_changed_and_taken_away_and_each_is_audited(
    hers: Client, policy: Policy, bob: User, page: str, kind: str
) -> None:
    row = policy if kind == "policy" else policy.folder
    hers.post(page, form("bob"))
    assert permissions.rights(bob, row) == (Right.VIEW,)
    hers.post(page, form("bob", "edit", "run"))
    assert permissions.rights(bob, row) == (Right.VIEW, Right.EDIT, Right.RUN)
    shown = read(hers, page)
    assert "bob" in shown.text
    check_can_be_read_aloud(shown)

    hers.post(page, form("bob", "edit", do="remove"))

    assert permissions.rights(bob, row) == ()
    said = [
        (e.name, e.action, e.owner, *e.changes[0])
        for e in AuditEntry.objects.filter(kind=kind, action__in=["shared", "unshared"])
    ]
    field, alice = "shared with", policy.owner
    assert said == [
        ("alice", "shared", alice, field, "", "bob: view"),
        ("alice", "shared", alice, field, "bob: view", "bob: view, edit, run"),
        ("alice", "unshared", alice, field, "bob: view, edit, run", ""),
    ]


def test_a_group_is_named_as_one(hers: Client, policy: Policy) -> None:
    group = Group.objects.create(name="bob")
    answer = hers.post(PAGE, form("bob", "run", kind="group"), follow=True)

    assert permissions.shares(policy) == [(group, (Right.VIEW, Right.RUN))]
    assert "group bob may: view, run." in answer.content.decode()


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("nobody", "person", "There is no person &#x27;nobody&#x27; who can log in"),
        ("gone", "person", "There is no person &#x27;gone&#x27; who can log in"),
        ("alice", "person", "alice owns this, and may do everything"),
        ("bob", "group", "There is no group &#x27;bob&#x27;"),
        (BAD_TEXT, "group", "There is no group"),
    ],
)
def test_whom_it_cannot_be_shared_with_is_told_and_nothing_changes(
    hers: Client, policy: Policy, bob: User, name: str, kind: str, sentence: str
) -> None:
    users.save(User(username="gone", is_active=False))
    answer = hers.post(PAGE, form(name, "edit", kind=kind)).content.decode()

    assert sentence in answer
    assert BAD_TEXT not in answer
    assert permissions.shares(policy) == []


def test_a_right_that_does_not_exist_is_refused(hers: Client, policy: Policy, bob: User) -> None:
    assert "own" in hers.post(PAGE, form("bob", "own")).content.decode()
    assert permissions.shares(policy) == []


def test_restore_is_offered_on_policies_only(hers: Client, policy: Policy, bob: User) -> None:
    hers.post(PAGE, form("bob", "restore"))
    assert permissions.rights(bob, policy) == (Right.VIEW, Right.RESTORE)

    hers.post(FOLDER, form("bob", "restore"))

    assert permissions.shares(policy.folder) == []
    assert 'value="restore"' in hers.get(PAGE).content.decode()
    assert 'value="restore"' not in hers.get(FOLDER).content.decode()


def test_names_are_shown_as_text(hers: Client, policy: Policy) -> None:
    group = Group.objects.create(name=BAD_TEXT)
    permissions.grant(group, policy, [Right.VIEW])

    page = hers.get(PAGE).content.decode()

    assert BAD_TEXT not in page
    assert "&lt;svg onload" in page


def test_rights_change_only_for_who_has_just_shown_who_they_are(policy: Policy, bob: User) -> None:
    client = client_of(policy.owner)
    assert client.get(PAGE).status_code == 200

    answer = client.post(PAGE, form("bob", "edit"))

    assert answer.status_code == 302
    assert "/profile/confirm/" in answer.headers["Location"]
    assert permissions.shares(policy) == []


def test_the_pages_say_what_a_right_means(hers: Client) -> None:
    assert "runs code of their own as the Linux account" in read(hers, FOLDER).text
    assert "Runs use the owner's AWS account and scripts" in read(hers, PAGE).text


def test_who_may_only_view_finds_no_deed(policy: Policy, run: Run, bob: User) -> None:
    client = as_bob(policy, Right.VIEW)
    page = read(client, "/policies/alice/policy1/")

    assert "alice shares this policy with you. You may: view." in page.text
    mine = [str(link) for link in page.links if str(link).startswith("/policies/alice/policy1/")]
    # What is kept, and why, where it is copied to, and what that costs.
    shown = ("copies", "costs", "retention")
    assert sorted(mine) == [f"/policies/alice/policy1/{name}/" for name in shown]
    assert "Back up now" not in page.text
    assert "whom to tell" not in page.text
    assert str(run.pk) in client.get("/runs/").content.decode()
    assert client.get(f"/runs/{run.pk}/cancel/").status_code == 404


def test_what_is_the_owners_is_not_shown_to_an_editor(policy: Policy, bob: User) -> None:
    Account.objects.create(owner=policy.owner, name="treasury", access_key_id="AKIATREASURY")
    page = as_bob(policy, Right.EDIT).get("/policies/alice/policy1/edit/").content.decode()

    for hidden in ("treasury", "AKIA", "Make a schedule here", "Show what the account has"):
        assert hidden not in page
    assert "alice shares this policy with you" in page


def test_an_editor_changes_neither_name_nor_account_nor_makes_rows_of_the_owners(
    policy: Policy, bob: User
) -> None:
    client = as_bob(policy, Right.EDIT)
    other = Account.objects.create(owner=policy.owner, name="treasury", access_key_id="AKIA2")
    page = client.get("/policies/alice/policy1/edit/").content.decode()
    sent = browser_form.Form(page).values

    answer = client.post(
        "/policies/alice/policy1/edit/",
        {
            **sent,
            "do": "save",
            "max_freeze_seconds": "51",
            "name": "renamed",
            "account": str(other.pk),
            "owner": str(bob.pk),
            "made-name": "hers",
            "made-cron": "0 3 * * *",
            "made-timezone": "UTC",
        },
    )

    assert answer.status_code == 302, answer.content.decode()
    stored = Policy.objects.get(pk=policy.pk)
    assert stored.max_freeze_seconds == 51
    assert (stored.name, stored.account, stored.owner) == ("policy1", policy.account, policy.owner)
    assert not Schedule.objects.exists()


def test_a_policy_is_not_cloned_by_an_editor(policy: Policy, bob: User) -> None:
    client = as_bob(policy, Right.EDIT)
    assert client.get("/policies/new/?like=alice/policy1").status_code == 404


def test_who_may_run_cancels_what_somebody_else_has_started(policy: Policy, bob: User) -> None:
    run = runs.start(policy=policy, trigger=Trigger.MANUAL, requested_by="alice")
    as_bob(policy, Right.RUN).post(f"/runs/{run.pk}/cancel/")

    run.refresh_from_db()
    assert run.cancelled_by == "bob"


def test_a_rule_is_not_made_for_somebody_elses_account(policy: Policy, bob: User) -> None:
    client = as_bob(policy, Right.EDIT)
    sent = {"policy": "alice/policy1", "what": "volumes", "tag": "a", "value": "b"}

    assert (
        "There is no policy alice/policy1" in client.post("/coverage/rules/", sent).content.decode()
    )


def test_lists_have_what_is_shared(policy: Policy, run: Run, bob: User) -> None:
    client = as_bob(policy, Right.VIEW)
    assert "alice/policy1" in client.get("/").content.decode()
    assert "alice/policy1" in client.get("/policies/").content.decode()


def test_the_admin_shows_shared_rows_to_nobody(policy: Policy, run: Run, bob: User) -> None:
    client = as_bob(policy, *Right)
    permissions.grant(bob, policy.folder, list(Right))
    bob.is_staff = True
    bob.save()
    bob.user_permissions.set(Permission.objects.exclude(codename="use_server_role"))

    for kind, row in (("policy", policy), ("run", run)):
        assert str(policy) not in client.get(f"/admin/policies/{kind}/").content.decode()
        assert client.get(f"/admin/policies/{kind}/{row.pk}/change/").status_code == 302
    folder = f"/admin/scripts_admin/folder/{policy.folder.pk}/change/"
    assert folder not in client.get("/admin/scripts_admin/folder/").content.decode()
    assert client.get(folder).status_code == 302
    deeds = [("delete_selected", policy), ("disable", policy), ("test_alarms", policy)]
    for action, row in deeds:
        sent = {"action": action, "_selected_action": [row.pk], "post": "yes"}
        client.post("/admin/policies/policy/", sent)
    receivers = {"policy": policy.pk, "new_urls": "json://example.com"}
    client.post("/admin/policies/alarmreceivers/add/", receivers)
    stored = Policy.objects.get(pk=policy.pk)
    assert stored.enabled
    assert not hasattr(stored, "alarm_receivers")


def test_rights_end_with_the_person_and_the_group_and_their_owner_is_told(
    policy: Policy, bob: User
) -> None:
    group = Group.objects.create(name="night shift")
    for row in (policy, policy.folder):
        permissions.grant(bob, row, [Right.EDIT])
        permissions.grant(group, row, [Right.RUN])

    bob.is_active = False
    users.save(bob)
    users.delete_group(group)

    assert permissions.shares(policy) == permissions.shares(policy.folder) == []
    said = AuditEntry.objects.filter(action="unshared", owner=policy.owner)
    assert said.count() == 4
    bob.is_active = True
    users.save(bob)
    assert not Policy.objects.visible_to(bob).exists()


def test_a_new_user_of_an_old_name_gets_nothing(policy: Policy, bob: User) -> None:
    permissions.grant(bob, policy, [Right.RUN])
    users.delete(bob)
    again = User(username="bob")
    users.save(again)

    assert not permissions.may_see(again, policy)
    policy.delete()
    assert Folder.objects.filter(owner=again).exists()


def test_targets_of_a_shared_policy_are_shown_and_kept(policy: Policy, bob: User) -> None:
    page = as_bob(policy, Right.EDIT).get("/policies/alice/policy1/edit/").content.decode()

    assert PolicyTarget.objects.get().instance_id in page


@pytest.mark.usefixtures("bob")
def test_what_is_written_in_the_scripts_is_not_told_by_remarks_to_who_may_see_the_policy_alone(
    policy: Policy, settings: Settings, tmp_path: Path
) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    place = storage.create(policy.folder)
    for name in ("before_policy1.sh", "helper.sh"):
        (place / name).write_bytes(b"#!/bin/sh\necho > /tmp/of-the-cellar\nsleep 77\n")
    client = as_bob(policy, Right.EDIT, Right.RUN)

    for page in ("/policies/alice/policy1/edit/", "/policies/alice/policy1/test/"):
        hers, his = read(client_of(policy.owner), page).text, read(client, page).text
        assert "of-the-cellar" in hers
        assert "of-the-cellar" not in his
        assert "helper.sh" not in his
        assert "shown to whoever may see the folder" in his
        assert "before_policy1.sh" in his
