"""A policy is made and changed on one page, by its owner or a superuser, and nothing that was typed is lost."""

import re

import pytest
from django.core.cache import cache
from django.test import Client

from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.domain.errors import UnreachableError
from policies.models import Account, Policy, PolicyTarget, Schedule
from policies.services.entry import policies as entered
from scripts_admin.models import User
from tests import factories
from tests.policies.views import admin_forms
from tests.policies.views.page import Sent, client_of, read
from tests.policies.views.page_forms import filled, made

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
EVIL = '"><svg onload=alert(1)>'


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> MemoryCloud:
    cache.clear()
    made = MemoryCloud()
    monkeypatch.setattr(session, "cloud", lambda _credentials: made)
    return made


@pytest.fixture
def owner(alice: User, client: Client) -> Client:
    factories.AccountFactory.create(owner=alice)
    client.force_login(alice)
    return client


@pytest.fixture
def policy(alice: User) -> Policy:
    """Give Alice's policy in the account that `owner` has, too."""
    made = Policy(owner=alice, account=factories.AccountFactory.create(owner=alice), name="policy1")
    target = PolicyTarget(
        instance_id=admin_forms.INSTANCE,
        region="us-east-1",
        exclude_volume_ids=[admin_forms.VOLUME],
    )
    entered.save(made)
    entered.replace_targets(made, [target])
    return made


def test_an_owner_makes_a_policy_with_a_schedule_of_its_own(
    owner: Client, cloud: MemoryCloud, alice: User
) -> None:
    form = made(owner, cloud, **{"made-name": "nightly", "made-cron": "0 2 * * *"})

    answer = owner.post("/policies/new/", form, follow=True)

    policy = Policy.objects.get()
    assert answer.redirect_chain[-1][0] == "/policies/alice/shop/"
    assert (policy.owner, policy.account.name, policy.enabled) == (alice, "lab", True)
    assert [each.name for each in policy.schedules.all()] == ["nightly"]
    assert policy.next_run_at is not None
    assert [str(each) for each in policy.targets.all()] == [
        next(iter(cloud.all_instances("us-east-1"))).instance_id
    ]


def test_volumes_are_left_out_by_ticking_them(owner: Client, cloud: MemoryCloud) -> None:
    form = made(owner, cloud)
    (instance,) = cloud.all_instances("us-east-1")
    key = f"us-east-1/{instance.instance_id}"
    form["leave_out"] = [f"{key}/boot", f"{key}/{instance.volume_ids[1]}"]

    owner.post("/policies/new/", form)

    target = Policy.objects.get().targets.get()
    assert (target.exclude_boot_volume, target.exclude_volume_ids) == (
        True,
        [instance.volume_ids[1]],
    )
    page = owner.get("/policies/alice/shop/edit/").content.decode()
    assert len(re.findall(r'name="leave_out"[^>]*checked', page)) == 2


def test_without_javascript_a_step_shows_what_the_account_has_and_keeps_what_was_typed(
    owner: Client, cloud: MemoryCloud
) -> None:
    instance = cloud.add_instance()
    form = filled(owner, "/policies/new/", name="typed-before", do="show")

    page = owner.post("/policies/new/", form).content.decode()

    assert instance.instance_id in page
    assert 'value="typed-before"' in page
    assert not Policy.objects.exists()


def test_the_search_leaves_what_is_chosen(owner: Client, cloud: MemoryCloud) -> None:
    chosen, other = cloud.add_instance(), cloud.add_instance()
    form = filled(
        owner,
        "/policies/new/",
        target=[f"us-east-1/{chosen.instance_id}"],
        search="no such thing",
        do="targets",
    )

    page = owner.post("/policies/new/", form).content.decode()

    assert chosen.instance_id in page
    assert other.instance_id not in page


def test_the_volumes_of_instances_are_there_for_a_search(owner: Client, cloud: MemoryCloud) -> None:
    instance, alone = cloud.add_instance(), cloud.add_volume()
    form = filled(owner, "/policies/new/", do="targets")
    boxes = [f'value="us-east-1/{each}"' for each in (instance.volume_ids[1], alone.volume_id)]

    page = owner.post("/policies/new/", form).content.decode()
    assert [each in page for each in boxes] == [False, True]

    page = owner.post("/policies/new/", form | {"search": "vol-"}).content.decode()
    assert [each in page for each in boxes] == [True, True]


def test_while_aws_is_away_ids_can_be_typed(owner: Client, cloud: MemoryCloud) -> None:
    cloud.fail_next("all_instances", UnreachableError("AWS is away."))
    page = owner.post("/policies/new/", filled(owner, "/policies/new/", do="show"))
    assert b"AWS is away." in page.content

    typed = f"{admin_forms.INSTANCE} eu-west-1 without boot\n{admin_forms.VOLUME}"
    owner.post("/policies/new/", filled(owner, "/policies/new/", name="shop", typed=typed))

    first, second = Policy.objects.get().targets.order_by("pk")
    assert (first.instance_id, first.region, first.exclude_boot_volume) == (
        admin_forms.INSTANCE,
        "eu-west-1",
        True,
    )
    assert (second.volume_id, second.region) == (admin_forms.VOLUME, "us-east-1")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "with.dot"}, "has a dot"),
        ({"target": [], "typed": ""}, "needs at least one instance or volume"),
        ({"typed": "nonsense"}, "is neither an instance id"),
        ({"typed": f"{admin_forms.INSTANCE} with boot"}, "is not an AWS region"),
        ({"max_freeze_seconds": "9999"}, "must be from"),
        ({"before_timeout_seconds": "59"}, "shorten the timeout"),
        ({"made-name": "nightly", "made-cron": "nonsense"}, "fields but needs 5"),
        ({"target": ["../../etc/passwd"]}, "is not an instance id"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_saved(
    owner: Client, cloud: MemoryCloud, changes: dict[str, object], sentence: str
) -> None:
    form = made(owner, cloud) | changes

    page = owner.post("/policies/new/", form).content.decode()

    assert sentence in page
    assert str(form["name"]) in page
    assert not Policy.objects.exists()
    assert not Schedule.objects.exists()


def test_a_live_check_says_the_same_and_changes_nothing(owner: Client, cloud: MemoryCloud) -> None:
    form = made(owner, cloud) | {"name": "with.dot", "do": "check"}

    page = owner.post("/policies/new/", form, headers={"HX-Request": "true"}).content.decode()

    assert "has a dot" in page
    assert "<html" not in page
    assert not Policy.objects.exists()


def test_a_live_check_shows_the_names_that_scripts_must_have(
    owner: Client, cloud: MemoryCloud
) -> None:
    page = owner.post("/policies/new/", made(owner, cloud) | {"do": "check"}).content.decode()

    assert "before_shop.*" in page


def test_a_double_click_makes_one_policy(owner: Client, cloud: MemoryCloud) -> None:
    form = made(owner, cloud, **{"made-name": "nightly", "made-cron": "0 2 * * *"})

    answers = [owner.post("/policies/new/", form) for _ in range(2)]

    assert [each.headers["Location"] for each in answers] == ["/policies/alice/shop/"] * 2
    assert Policy.objects.count() == Schedule.objects.count() == 1


def test_another_policy_of_the_same_name_is_refused(owner: Client, cloud: MemoryCloud) -> None:
    form = made(owner, cloud)
    owner.post("/policies/new/", form)

    page = owner.post("/policies/new/", form | {"retry_count": "5"}).content.decode()

    assert "already exists" in page
    assert Policy.objects.get().retry_count == 2


def test_of_two_people_the_second_sees_both_versions_and_loses_nothing(
    owner: Client, policy: Policy
) -> None:
    path = "/policies/alice/policy1/edit/"
    mine = filled(owner, path, retry_count="7", typed=admin_forms.VOLUME)
    owner.post(path, filled(owner, path, retry_count="4", collect_output=None))

    answer = owner.post(path, mine)

    page = answer.content.decode()
    policy.refresh_from_db()
    assert answer.status_code == 409
    assert (policy.retry_count, policy.targets.count()) == (4, 1)
    assert "This policy was changed since you opened it" in page
    assert re.search(r"Retries of a failed run</th>\s*<td[^>]*>4</td>\s*<td[^>]*>7</td>", page)
    assert "not kept" in page
    assert 'name="retry_count" value="7"' in page
    assert admin_forms.VOLUME in page

    owner.post(path, Sent(page).values | {"do": "save"})

    policy.refresh_from_db()
    assert (policy.retry_count, policy.targets.count()) == (7, 2)


def test_a_switch_meanwhile_is_a_change_too(owner: Client, policy: Policy) -> None:
    path = "/policies/alice/policy1/edit/"
    form = filled(owner, path)
    entered.switch(policy, on=False)

    assert owner.post(path, form).status_code == 409
    policy.refresh_from_db()
    assert not policy.enabled


def test_a_policy_is_renamed_and_keeps_what_was_not_touched(owner: Client, policy: Policy) -> None:
    path = "/policies/alice/policy1/edit/"

    answer = owner.post(path, filled(owner, path, name="renamed"))

    policy.refresh_from_db()
    assert answer.headers["Location"] == "/policies/alice/renamed/"
    assert policy.targets.get().exclude_volume_ids == [admin_forms.VOLUME]


def test_a_clone_starts_disabled_with_everything_else_the_same(
    owner: Client, policy: Policy
) -> None:
    policy.schedules.add(admin_forms.schedule(policy.owner))
    path = "/policies/new/?like=alice/policy1"

    owner.post(path, filled(owner, path))

    copy = Policy.objects.get(name="policy1-copy")
    assert not copy.enabled
    assert [str(each) for each in copy.targets.all()] == [admin_forms.INSTANCE]
    assert copy.targets.get().exclude_volume_ids == [admin_forms.VOLUME]
    assert copy.schedules.count() == 1


def test_strangers_find_nothing_and_change_nothing(policy: Policy, cloud: MemoryCloud) -> None:
    stranger = client_of(admin_forms.user("charlie"))
    account = Account.objects.get()

    assert stranger.get("/policies/alice/policy1/edit/").status_code == 404
    assert stranger.post("/policies/alice/policy1/edit/", {"name": "x"}).status_code == 404
    assert stranger.get("/policies/new/?like=alice/policy1").status_code == 404
    page = stranger.get("/policies/new/?account=alice/lab").content.decode()
    assert "needs an account first" in page
    stranger.post("/policies/new/", {"account": account.pk, "name": "x", "do": "show"})
    assert cloud.calls == []
    assert Policy.objects.count() == 1


def test_another_owners_account_or_schedule_cannot_be_slipped_in(
    owner: Client, cloud: MemoryCloud
) -> None:
    bob = admin_forms.user("bob")
    theirs = admin_forms.schedule(bob)
    factories.AccountFactory.create(owner=bob, name="theirs")
    form = made(owner, cloud)

    page = owner.post("/policies/new/", form | {"schedules": [theirs.pk]}).content.decode()

    assert "Select a valid choice" in page
    assert not Policy.objects.exists()


def test_a_superuser_makes_a_policy_for_the_owner_of_the_account(
    boss: User, alice: User, client: Client, cloud: MemoryCloud
) -> None:
    factories.AccountFactory.create(owner=alice)
    factories.AccountFactory.create(owner=boss, name="other")
    cloud.add_instance()
    path = "/policies/new/?account=alice/lab"

    client.post(path, filled(client, path, name="shop", typed=admin_forms.INSTANCE))

    assert Policy.objects.get().owner == alice


def test_evil_text_stays_text(owner: Client, cloud: MemoryCloud, policy: Policy) -> None:
    instance = cloud.add_instance()
    assert isinstance(instance.answer, dict)
    instance.answer["Tags"] = [{"Key": "Name", "Value": EVIL}, {"Key": EVIL, "Value": EVIL}]
    admin_forms.schedule(policy.owner, name=EVIL.replace("/", ""))
    path = "/policies/alice/policy1/edit/"
    typed = dict.fromkeys(("search", "typed", "regions", "made-name", "name", "cron"), EVIL)

    for do in ("show", "save", "check", "targets"):
        page = owner.post(path, filled(owner, path, **typed, do=do)).content.decode()
        assert "<svg onload" not in page


def test_a_session_that_ends_in_the_middle_loses_nothing_typed(
    owner: Client, cloud: MemoryCloud, alice: User
) -> None:
    form = made(owner, cloud, retry_count="6", typed=admin_forms.VOLUME)
    owner.logout()

    answer = owner.post("/policies/new/", form)

    assert answer.headers["Location"].startswith("/login/?next=/policies/new/%3Fdraft%3D")
    assert not Policy.objects.exists()
    alice.set_password("correct horse battery")
    alice.save()
    login = {"username": "alice", "password": "correct horse battery"}
    back = owner.post(answer.headers["Location"], login)
    again = filled(owner, back.headers["Location"])
    assert (again["name"], again["retry_count"], again["typed"]) == (
        "shop",
        "6",
        admin_forms.VOLUME,
    )
    owner.post("/policies/new/", again)
    assert Policy.objects.get().targets.count() == 2


def test_a_login_in_another_tab_loses_nothing_typed(
    owner: Client, cloud: MemoryCloud, alice: User
) -> None:
    form = made(owner, cloud, typed=admin_forms.VOLUME)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)

    answer = strict.post("/policies/new/", form)

    assert not Policy.objects.exists()
    page = strict.get(answer.headers["Location"]).content.decode()
    assert admin_forms.VOLUME in page
    assert "nothing was saved" in page
    forged = strict.post("/policies/new/", form | {"form_of": "forged"})
    assert forged.status_code == 403


def test_a_target_that_is_ticked_and_typed_counts_once(owner: Client, policy: Policy) -> None:
    path = "/policies/alice/policy1/edit/"

    owner.post(path, filled(owner, path, typed=admin_forms.INSTANCE))

    target = policy.targets.get()
    assert target.exclude_volume_ids == [admin_forms.VOLUME]


def test_somebody_elses_draft_is_not_shown(owner: Client, cloud: MemoryCloud) -> None:
    form = made(owner, cloud, typed=admin_forms.VOLUME)
    owner.logout()
    address = owner.post("/policies/new/", form).headers["Location"].partition("next=")[2]
    owner.force_login(admin_forms.user("charlie"))

    page = owner.get(address.replace("%3F", "?").replace("%3D", "=")).content.decode()

    assert admin_forms.VOLUME not in page


def test_the_page_can_be_read_aloud_and_each_field_has_a_label(
    owner: Client, policy: Policy
) -> None:
    page = read(owner, "/policies/alice/policy1/edit/")

    labelled = {attrs.get("for") for tag, attrs in page.tags if tag == "label"}
    for tag, attrs in page.tags:
        if tag in {"input", "select", "textarea"} and attrs.get("type") not in {"hidden", None}:
            in_box = attrs.get("name") == "leave_out"
            assert in_box or attrs.get("id") in labelled or attrs.get("aria-label"), attrs
