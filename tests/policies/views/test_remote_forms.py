"""On the form of a policy, each instance says how scripts get there; its page says which, and what is missing."""

from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.models import Policy, PolicyTarget
from policies.services.entry import policies as entered
from scripts_admin import permissions
from scripts_admin.domain.remote import Remote
from scripts_admin.domain.rights import Right
from scripts_admin.folders import storage
from scripts_admin.models import SshHost, SshKey, User
from tests import factories
from tests.policies.views.page import Sent, check_can_be_read_aloud, client_of, read
from tests.policies.views.page_forms import filled, made

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
ONE, TWO = "i-0123456789abcdef0", "i-0fedcba9876543210"
EVIL = '"><svg onload=alert(1)>'
SSH = Remote("ssh", "ec2-user", "stored", "10.0.0.5", 22, sudo=True)
EDIT, PAGE = "/policies/alice/policy1/edit/", "/policies/alice/policy1/"


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> MemoryCloud:
    cache.clear()
    made_here = MemoryCloud()
    monkeypatch.setattr(session, "cloud", lambda _credentials: made_here)
    return made_here


@pytest.fixture
def alice(settings: Settings, tmp_path: Path) -> User:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    return factories.alice()


@pytest.fixture
def owner(alice: User, client: Client) -> Client:
    factories.AccountFactory.create(owner=alice)
    client.force_login(alice)
    return client


@pytest.fixture
def policy(owner: Client, alice: User) -> Policy:
    row = Policy(owner=alice, account=factories.AccountFactory.create(owner=alice), name="policy1")
    one, two = (PolicyTarget(instance_id=each, region="us-east-1") for each in (ONE, TWO))
    one.remote = SSH
    entered.save(row)
    entered.replace_targets(row, [one, two])
    return row


def _names(instance: str) -> str:
    return f"remote-us-east-1-{instance}"


def _stored(instance: str = ONE) -> Remote:
    return PolicyTarget.objects.get(instance_id=instance).remote


def test_a_new_policy_is_made_with_scripts_on_its_instance(
    owner: Client, cloud: MemoryCloud
) -> None:
    form = made(owner, cloud)
    (instance,) = cloud.all_instances("us-east-1")
    named = _names(instance.instance_id)
    form |= {f"{named}-by": "ssh", f"{named}-user": "ec2-user", f"{named}-key": "instance-connect"}

    owner.post("/policies/new/", form)

    assert _stored(instance.instance_id) == Remote("ssh", "ec2-user", "instance-connect", port=22)


def test_a_form_that_is_saved_as_it_is_changes_nothing(owner: Client, policy: Policy) -> None:
    answer = owner.post(EDIT, filled(owner, EDIT))

    assert answer.status_code == 302
    assert (_stored(), _stored(TWO)) == (SSH, Remote())


def test_another_way_in_leaves_what_belonged_to_the_first(owner: Client, policy: Policy) -> None:
    owner.post(EDIT, filled(owner, EDIT, **{f"{_names(ONE)}-by": "ssm"}))

    assert _stored() == Remote("ssm", document="AWS-RunShellScript")

    owner.post(EDIT, filled(owner, EDIT, **{f"{_names(ONE)}-by": ""}))

    assert _stored() == Remote()


def test_a_mistake_is_told_at_its_field_and_nothing_is_saved(owner: Client, policy: Policy) -> None:
    named = _names(TWO)
    sent = {f"{named}-by": "ssh", f"{named}-user": EVIL, f"{named}-port": "99999"}

    page = owner.post(EDIT, filled(owner, EDIT, retry_count=7, **sent)).content.decode()

    assert f'href="#id_{named}-user"' in page
    assert "is no name of a Linux account" in page
    assert "99999 is no port" in page
    assert "<svg onload" not in page
    assert f'id="id_{named}-user_errors"' in page
    assert (_stored(TWO), Policy.objects.get().retry_count) == (Remote(), 2)


def test_the_forms_follow_what_is_chosen_and_keep_what_was_typed(
    owner: Client, policy: Policy
) -> None:
    early = {"do": "check", f"{_names(ONE)}-user": "somebody"}
    same = owner.post(EDIT, filled(owner, EDIT, **early)).content.decode()
    typed = {"typed": "i-0aaaaaaaaaaaaaaaa eu-west-1"}

    more = owner.post(EDIT, filled(owner, EDIT, **early, **typed)).content.decode()

    assert 'id="remotes"' not in same
    assert f'id="id_{_names(ONE)}-user_errors"' in same
    assert 'id="remotes" hx-swap-oob="true"' in more
    assert "remote-eu-west-1-i-0aaaaaaaaaaaaaaaa-by" in more
    assert 'value="somebody"' in more


def test_without_javascript_a_button_shows_the_forms_of_what_is_chosen_now(
    owner: Client, policy: Policy
) -> None:
    sent = filled(owner, EDIT, do="show", typed="i-0aaaaaaaaaaaaaaaa")

    page = owner.post(EDIT, sent).content.decode()

    assert "remote-us-east-1-i-0aaaaaaaaaaaaaaaa-by" in Sent(page).values


def test_a_volume_has_no_such_form(owner: Client, policy: Policy) -> None:
    page = owner.post(EDIT, filled(owner, EDIT, do="show", typed="vol-0123456789abcdef0"))

    assert "remote-us-east-1-vol" not in page.content.decode()


def test_a_copy_begins_with_the_same_scripts(owner: Client, policy: Policy) -> None:
    owner.post(
        "/policies/new/?like=alice/policy1", filled(owner, "/policies/new/?like=alice/policy1")
    )

    copy = Policy.objects.exclude(pk=policy.pk).get()
    assert copy.targets.get(instance_id=ONE).remote == SSH


def test_whoever_edits_a_shared_policy_keeps_how_scripts_get_there(
    policy: Policy, alice: User
) -> None:
    bob = factories.UserFactory.create(username="bob")
    permissions.grant(bob, policy, [Right.VIEW, Right.EDIT])
    client = client_of(bob)
    sent = {f"{_names(ONE)}-by": "ssh", f"{_names(ONE)}-user": "root", "retry_count": 7}

    assert not any(
        name.startswith("remote") for name in Sent(client.get(EDIT).content.decode()).values
    )
    client.post(EDIT, filled(client, EDIT, **sent))

    assert (Policy.objects.get().retry_count, _stored()) == (7, SSH)


def test_two_people_who_change_it_notice_each_other(owner: Client, policy: Policy) -> None:
    form = filled(owner, EDIT, **{f"{_names(ONE)}-user": "mine"})
    PolicyTarget.objects.filter(instance_id=ONE).update(remote_user="theirs")

    answer = owner.post(EDIT, form)

    assert answer.status_code == 409
    assert "by SSH as theirs" in answer.content.decode()
    assert "by SSH as mine" in answer.content.decode()
    assert _stored().user == "theirs"


def test_the_page_says_which_script_runs_where_and_what_is_missing(
    owner: Client, policy: Policy, alice: User
) -> None:
    storage.create(policy.folder)
    home = storage.path(policy.folder)
    (home / "before_policy1@all.sh").write_text("#!/bin/sh\n")
    (home / f"after_policy1@{ONE}.sh").write_text("no first line")

    page = read(owner, PAGE)

    check_can_be_read_aloud(page)
    assert "by SSH as ec2-user at 10.0.0.5 with a stored key, with sudo" in page.text
    assert "/scripts/alice/files/before_policy1@all.sh/" in page.links
    assert "names no interpreter in its first line" in page.text
    assert "The folder alice has no SSH key" in page.text
    assert "The SSH host 10.0.0.5, on the way to i-0123456789abcdef0, is not approved" in page.text
    assert {"/scripts/alice/keys/", "/scripts/alice/hosts/"} <= set(page.links)


def test_the_page_warns_of_a_before_without_after(owner: Client, policy: Policy) -> None:
    storage.create(policy.folder)
    (storage.path(policy.folder) / "before_policy1@all.sh").write_text("#!/bin/sh\n")

    assert f"{ONE} has a before and no after, so nothing thaws" in read(owner, PAGE).text


def test_what_is_there_is_not_missing(owner: Client, policy: Policy) -> None:
    now = policy.owner.date_joined
    SshKey.objects.create(folder=policy.folder, public="x", slot=1, made_at=now)
    SshHost.objects.create(
        folder=policy.folder, name="10.0.0.5", key="ssh-ed25519 AAAA", added_at=now
    )

    assert "is not approved" not in read(owner, PAGE).text
    assert "has no SSH key" not in read(owner, PAGE).text


def test_who_may_not_see_the_folder_gets_neither_problems_nor_links(
    policy: Policy, alice: User
) -> None:
    storage.create(policy.folder)
    (storage.path(policy.folder) / "before_policy1@all.sh").write_text("no first line")
    bob = factories.UserFactory.create(username="bob")
    permissions.grant(bob, policy, [Right.VIEW])

    page = read(client_of(bob), PAGE)

    assert "names no interpreter" not in page.text
    assert not any(link and link.startswith("/scripts/alice/") for link in page.links)
