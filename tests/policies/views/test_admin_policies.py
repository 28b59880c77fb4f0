import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.test import Client

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.models import Account, Policy, PolicyTarget, Run
from policies.services.entry import policies
from scripts_admin.domain.remote import Remote
from scripts_admin.models import User
from tests.policies.views import page
from tests.policies.views.admin_forms import INSTANCE, VOLUME, errors, policy_form, schedule, url

pytestmark = pytest.mark.django_db


def test_a_policy_is_made_with_its_targets_in_its_owners_folder(
    client: Client, boss: User, policy: Policy
) -> None:
    new = Policy(owner=policy.owner, account=policy.account, name="policy2")
    target = {"instance_id": INSTANCE, "region": "us-east-1", "exclude_volume_ids": f"{VOLUME},"}

    response = client.post("/admin/policies/policy/add/", policy_form(new, target))

    assert response.status_code == 302, errors(response.content)
    made = Policy.objects.get(name="policy2")
    assert made.folder == policy.folder
    assert made.targets.get().exclude_volume_ids == [VOLUME]


@pytest.mark.parametrize(
    ("values", "target", "told"),
    [
        ({"name": "policy.1"}, {}, "has a dot"),
        ({"name": "a b"}, {}, "is not a valid policy name"),
        ({"before_timeout_seconds": 51}, {}, "leaves 9 s"),
        ({"max_freeze_seconds": 700}, {}, "must be from 11 to 600"),
        ({"max_freeze_seconds": -1}, {}, "must be from 11 to 600"),
        ({}, {"instance_id": "i-1", "region": "us-east-1"}, "i-1 is not an instance id"),
        ({}, {"instance_id": INSTANCE, "region": "us-east-1"}, "appears twice in this policy"),
        (
            {},
            {"volume_id": VOLUME, "region": "us-east-1", "exclude_volume_ids": VOLUME},
            "has no volumes to exclude",
        ),
    ],
)
def test_what_cannot_be_is_told_once_by_the_saving_rules_and_not_saved(
    client: Client,
    boss: User,
    policy: Policy,
    values: dict[str, object],
    target: dict[str, str],
    told: str,
) -> None:
    before = list(Policy.objects.values())
    targets = [target] if target else []

    response = client.post(url(policy), policy_form(policy, *targets, **values))

    assert response.status_code == 200
    (error,) = [error for error in errors(response.content) if error]
    assert told in error
    assert list(Policy.objects.values()) == before
    assert [str(target) for target in PolicyTarget.objects.all()] == [INSTANCE]


def test_two_targets_may_swap_their_places(client: Client, boss: User, policy: Policy) -> None:
    other = "i-11111111"
    policies.replace_targets(
        policy,
        [PolicyTarget(instance_id=i, region="us-east-1") for i in (INSTANCE, other)],
    )
    form = policy_form(policy)
    form |= {"targets-0-instance_id": other, "targets-1-instance_id": INSTANCE}

    response = client.post(url(policy), form)

    assert response.status_code == 302, errors(response.content)
    assert [str(target) for target in policy.targets.order_by("pk")] == [other, INSTANCE]


def test_how_scripts_get_to_an_instance_stays_with_it_and_never_goes_to_another(
    client: Client, boss: User, policy: Policy
) -> None:
    target = PolicyTarget(instance_id=INSTANCE, region="us-east-1")
    target.remote = Remote(by="ssm").filled()
    policies.replace_targets(policy, [target])

    client.post(url(policy), policy_form(policy, retry_count=7))

    assert policy.targets.get().remote == Remote(by="ssm", document="AWS-RunShellScript")

    client.post(url(policy), policy_form(policy) | {"targets-0-instance_id": "i-11111111"})

    assert (str(policy.targets.get()), policy.targets.get().remote) == ("i-11111111", Remote())


def test_the_last_target_stays(client: Client, boss: User, policy: Policy) -> None:
    response = client.post(url(policy), policy_form(policy) | {"targets-0-DELETE": "on"})

    assert errors(response.content) == [policies.NO_TARGET]
    assert policy.targets.count() == 1


def test_a_policy_or_account_with_an_unfinished_run_is_neither_renamed_nor_deleted(
    client: Client, boss: User, policy: Policy, run: Run
) -> None:
    account = policy.account
    renamed = client.post(url(policy), policy_form(policy, name="other"))
    keys = {"name": "other", "auth": "keys", "access_key_id": "A", "region": "us-east-1"}
    also_renamed = client.post(url(account), keys)

    assert "cannot be renamed while" in errors(renamed.content)[0]
    assert "cannot be renamed while" in errors(also_renamed.content)[0]
    for row in (policy, account):
        page = client.post(url(row, "delete"), {"post": "yes"})
        assert "cannot be deleted while" in page.content.decode()
        form = {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"}
        page = client.post(f"/admin/policies/{row._meta.model_name}/", form)
        assert "cannot be deleted while" in page.content.decode()
    assert (Policy.objects.get().name, Account.objects.get().name) == ("policy1", "lab")


def test_a_run_that_begins_behind_the_question_stops_the_deletion(
    client: Client, boss: User, policy: Policy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(
        ["", "The policy has just begun to run.", "", "The policy has just begun to run."]
    )
    monkeypatch.setattr(policies, "why_not_deleted", lambda _: next(answers))

    page = client.post(url(policy, "delete"), {"post": "yes"}, follow=True)
    form = {"action": "delete_selected", "_selected_action": policy.pk, "post": "yes"}
    other = client.post("/admin/policies/policy/", form, follow=True)

    assert "has just begun to run" in page.content.decode()
    assert "has just begun to run" in other.content.decode()
    assert Policy.objects.exists()


def test_a_policy_at_rest_is_deleted_and_its_runs_stay(
    client: Client, boss: User, policy: Policy, run: Run
) -> None:
    Run.objects.update(state=State.SUCCEEDED, ended_at=clock.now())

    client.post(url(policy, "delete"), {"post": "yes"})

    assert not Policy.objects.exists()
    assert Run.objects.get().policy_name == "policy1"


def test_a_policy_follows_the_schedules_that_are_chosen_and_is_planned(
    client: Client, boss: User, policy: Policy
) -> None:
    nightly, often = schedule(policy.owner), schedule(policy.owner, "often", cron="0 * * * *")
    both = [nightly.pk, often.pk]

    client.post(url(policy), policy_form(policy, schedules=both, retry_count=2, retry_minutes=5))
    policy.refresh_from_db()
    assert set(policy.schedules.all()) == {nightly, often}
    assert (policy.retry_count, policy.retry_minutes) == (2, 5)
    assert policy.next_run_at is not None
    seen = page.read(client, url(policy)).text
    assert seen.count(" UTC") >= 5

    client.post(url(policy), policy_form(policy))
    policy.refresh_from_db()
    assert not policy.schedules.exists()
    assert Policy.objects.get().next_run_at is None
    assert "It follows no schedule." in page.read(client, url(policy)).text


def test_a_superuser_is_offered_no_schedule_of_another_owner_and_cannot_take_one(
    client: Client, boss: User, policy: Policy
) -> None:
    strange = schedule(boss, "strange")
    assert "boss/strange" not in page.read(client, url(policy)).text

    response = client.post(url(policy), policy_form(policy, schedules=[strange.pk], retry_count=3))

    assert "not one of the available choices" in errors(response.content)[0]
    policy.refresh_from_db()
    assert (list(policy.schedules.all()), policy.retry_count) == ([], 2)


def test_staff_is_offered_no_schedule_of_somebody_else_and_cannot_take_one(
    client: Client, bob: User, policy: Policy
) -> None:
    theirs, own = schedule(policy.owner, "alices-night"), schedule(bob, "bobs-night")
    account = Account.objects.create(owner=bob, name="own", access_key_id="A")
    mine = Policy(owner=bob, account=account, name="mine")
    policies.save(mine, [own])
    policies.replace_targets(mine, [PolicyTarget(instance_id=INSTANCE, region="us-east-1")])
    due = Policy.objects.get(pk=mine.pk).next_run_at

    seen = page.read(client, url(mine)).text
    assert "bob/bobs-night" in seen
    assert "alices-night" not in seen
    for chosen in ([theirs.pk], [own.pk, theirs.pk]):
        response = client.post(url(mine), policy_form(mine, schedules=chosen))
        (error,) = errors(response.content)
        assert "Select a valid choice" in error
    assert list(mine.schedules.all()) == [own]
    assert Policy.objects.get(pk=mine.pk).next_run_at == due


def test_every_column_that_people_enter_stands_in_the_form(
    client: Client, boss: User, policy: Policy
) -> None:
    form = client.get("/admin/policies/policy/add/").context["adminform"].form

    assert {*policies.COLUMNS, "schedules"} == set(form.fields)


def test_who_may_only_look_at_a_policy_sees_its_schedules_and_changes_nothing(
    client: Client, bob: User, policy: Policy
) -> None:
    account = Account.objects.create(owner=bob, name="own", access_key_id="A")
    mine = Policy(owner=bob, account=account, name="mine")
    policies.save(mine, [schedule(bob, "bobs-night")])
    bob.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))

    assert "bobs-night" in page.read(client, url(mine)).text
    assert client.post(url(mine), policy_form(mine, schedules=[])).status_code == 403
    assert mine.schedules.count() == 1


def test_what_turns_out_only_while_saving_is_told_and_nothing_is_saved(
    client: Client, boss: User, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValidationError({"name": "Somebody was quicker."})

    monkeypatch.setattr(policies, "replace_targets", refuse)

    answer = client.post(url(policy), policy_form(policy, name="other"), follow=True)

    assert "Somebody was quicker." in answer.content.decode()
    assert Policy.objects.get().name == "policy1"
