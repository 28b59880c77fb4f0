"""Accounts are added, tested, changed and deleted on pages of their own, and no page shows a secret."""

import html
import json
import re

import pytest
from django.test import Client

from n2wbackup.lib import home
from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.models import Account, Policy
from scripts_admin import permissions
from scripts_admin.domain.remote import Remote
from scripts_admin.models import User
from tests import factories
from tests.policies.views import admin_forms
from tests.policies.views.page import Sent, check_can_be_read_aloud, client_of, read

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
PAGE = "/accounts/alice/lab/"
ROLE = "arn:aws:iam::210987654321:role/n2wbackup"
EVIL = '"><svg onload=alert(1)>'


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> MemoryCloud:
    made = MemoryCloud()
    monkeypatch.setattr(session, "cloud", lambda _credentials: made)
    return made


@pytest.fixture
def owner(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def lab(alice: User) -> Account:
    return factories.AccountFactory.create(owner=alice)


def form(**changes: str) -> dict[str, str]:
    keys = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "new_secret": admin_forms.SECRET}
    return {"name": "lab", "auth": "keys", "region": "us-east-1", **keys, **changes}


def papers(page: str) -> list[dict[str, list[dict[str, object]]]]:
    found = re.findall(r"<code>(\{.*?)</code></pre>", page, re.DOTALL)
    return [json.loads(html.unescape(each)) for each in found]


def test_an_owner_adds_keys_and_the_secret_is_shown_nowhere(owner: Client, alice: User) -> None:
    page = owner.post("/accounts/new/", form(), follow=True).content.decode()

    row = Account.objects.get()
    assert (row.owner, row.secret_access_key) == (alice, admin_forms.SECRET)
    assert admin_forms.SECRET not in page
    for path in (PAGE, f"{PAGE}edit/", f"{PAGE}delete/", "/accounts/"):
        assert admin_forms.SECRET not in owner.get(path).content.decode()


def test_an_empty_secret_keeps_the_stored_one(owner: Client, lab: Account) -> None:
    path = f"{PAGE}edit/"

    owner.post(path, Sent(owner.get(path).content.decode()).values | {"region": "eu-west-1"})

    stored = Account.objects.get()
    assert (stored.region, stored.secret_access_key) == ("eu-west-1", lab.secret_access_key)


def test_a_refused_form_does_not_give_the_secret_back(owner: Client) -> None:
    page = owner.post("/accounts/new/", form(region="nowhere")).content.decode()

    assert "is not an AWS region" in page
    assert admin_forms.SECRET not in page
    assert not Account.objects.exists()


def test_a_role_gets_its_documents_filled_in(owner: Client, policy: Policy) -> None:
    changes = {"name": "role", "auth": "role", "role_arn": ROLE}
    sent = form(**changes, access_key_id="", new_secret="", region="eu-west-1")

    page = owner.post("/accounts/new/", sent, follow=True).content.decode()

    row = Account.objects.get(name="role")
    allowed, trust, assume = papers(page)
    resources = str([each["Resource"] for each in allowed["Statement"]])
    assert "arn:aws:ec2:eu-west-1:210987654321:instance/*" in resources
    assert "ec2:*:" not in resources
    assert home.server_id() in str(allowed)
    assert row.external_id in str(trust)
    assert "arn:aws:iam::210987654321:role/n2wbackup" in str(assume)
    assert "SERVER_ACCOUNT_ID" in str(trust)  # only the reader knows it, and the page says so
    assert "the number of the AWS account in which this server runs" in page


def test_the_regions_of_targets_are_in_the_document(owner: Client, policy: Policy) -> None:
    policy.targets.update(region="ap-south-1")

    (allowed,) = papers(owner.get(PAGE).content.decode())

    assert "arn:aws:ec2:ap-south-1:ACCOUNT_ID:volume/*" in str(allowed)


def test_logins_by_instance_connect_have_a_document_of_their_own(
    owner: Client, policy: Policy
) -> None:
    target = policy.targets.get()
    target.remote = Remote("ssh", "ec2-user", bastion="jump@192.0.2.7").filled()
    target.save()

    page = owner.get(PAGE).content.decode()

    assert "Logins by EC2 Instance Connect" in page
    (connect,) = papers(page)[1]["Statement"]
    assert connect["Condition"] == {"StringEquals": {"ec2:osuser": ["ec2-user", "jump"]}}
    policy.targets.update(remote_key="stored")
    assert len(papers(owner.get(PAGE).content.decode())) == 1


def test_the_servers_own_role_needs_the_permission(owner: Client, alice: User) -> None:
    sent = form(auth="instance", access_key_id="", new_secret="")

    assert "is not allowed to use" in owner.post("/accounts/new/", sent).content.decode()
    assert not Account.objects.exists()

    permissions.set_server_role(alice, given=True)
    owner.post("/accounts/new/", sent)
    assert Account.objects.get().auth == "instance"


def test_a_test_shows_each_permission_with_its_result(
    owner: Client, lab: Account, cloud: MemoryCloud
) -> None:
    cloud.add_instance()
    cloud.denied.add("DescribeVolumes")

    page = owner.post(f"{PAGE}test/").content.decode()

    assert re.search(r"ec2:DescribeInstances</th>.*?granted", page, re.DOTALL)
    assert re.search(r"ec2:DescribeVolumes</th>.*?missing", page, re.DOTALL)
    assert "Something is missing" in page

    cloud.denied.clear()
    assert "No permission is missing" in owner.post(f"{PAGE}test/").content.decode()
    assert owner.get(f"{PAGE}test/").headers["Location"] == PAGE


def test_an_account_that_policies_use_stays_and_one_alone_goes_by_its_name(
    owner: Client, policy: Policy
) -> None:
    assert "because policies use it: policy1" in read(owner, f"{PAGE}delete/").text
    owner.post(f"{PAGE}delete/", {"name": "lab"})
    assert Account.objects.exists()

    policy.delete()
    owner.post(f"{PAGE}delete/", {"name": "wrong"})
    assert Account.objects.exists()
    owner.post(f"{PAGE}delete/", {"name": "lab"})
    assert not Account.objects.exists()


def test_strangers_find_nothing_and_ask_nothing(lab: Account, cloud: MemoryCloud) -> None:
    stranger = client_of(admin_forms.user("charlie"))

    pages = ("", "edit/", "delete/", "test/")
    assert {stranger.get(f"{PAGE}{page}").status_code for page in pages} == {404}
    assert {stranger.post(f"{PAGE}{page}").status_code for page in pages[1:]} == {404}
    assert stranger.post(PAGE).status_code == 405  # whatever it names
    assert "lab" not in read(stranger, "/accounts/").text
    assert cloud.calls == []


def test_a_session_that_ends_keeps_what_was_typed_but_never_the_secret(
    owner: Client, alice: User
) -> None:
    begun = Sent(owner.get("/accounts/new/").content.decode()).values
    owner.logout()

    owner.post("/accounts/new/", begun | form(region="eu-west-3"))

    kept = str(dict(owner.session))
    assert "eu-west-3" in kept
    assert admin_forms.SECRET not in kept


def test_the_pages_can_be_read_aloud_and_evil_text_stays_text(owner: Client, lab: Account) -> None:
    check_can_be_read_aloud(read(owner, "/accounts/"))
    name = EVIL.replace("/", "")
    Account.objects.update(name=name)
    for path in (f"/accounts/alice/{name}/", f"/accounts/alice/{name}/delete/", "/accounts/"):
        assert "<svg onload" not in owner.get(path).content.decode()
    sent = dict.fromkeys(("name", "auth", "region", "access_key_id", "role_arn"), EVIL)
    assert "<svg onload" not in owner.post("/accounts/new/", sent).content.decode()
