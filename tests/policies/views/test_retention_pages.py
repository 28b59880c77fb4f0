"""Why a restore point stays and when it goes: on its run's page, in the lists, and before the rules are changed."""

from datetime import timedelta

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_removing import MemoryRemoving
from policies.api import as_json
from policies.models import Hold, Policy, PolicyTarget, Run
from policies.services.entry import policies as entered
from policies.services.retention import cleaning, holds, planning
from tests import factories
from tests.policies.services.retention.rows import in_cloud, nightly
from tests.policies.views import admin_forms, page
from tests.policies.views.page_forms import filled

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
SVG = '"><svg onload=alert(1)>'
QUERIES = 15  # those of the list, one for copies, and eight for what becomes of its restore points
EDIT = "/policies/alice/policy1/edit/"


@pytest.fixture
def policy() -> Policy:
    made = factories.PolicyFactory.create(owner=factories.alice(), name="policy1", keep_last=2)
    target = PolicyTarget(instance_id=admin_forms.INSTANCE, region="us-east-1")
    entered.replace_targets(made, [target])
    return made


@pytest.fixture
def points(policy: Policy) -> list[Run]:
    return nightly(policy, 4)


@pytest.fixture
def client(policy: Policy) -> Client:
    return page.client_of(policy.owner)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> MemoryCloud:
    made = MemoryCloud()
    monkeypatch.setattr(session, "cloud", lambda _: made)
    return made


@pytest.fixture
def removing(cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch) -> MemoryRemoving:
    made = MemoryRemoving(cloud)
    monkeypatch.setattr(session, "removing", lambda _: made)
    return made


def seen(client: Client, path: str) -> str:
    return " ".join(page.read(client, path).text.split())


def test_the_page_of_a_run_says_why_it_stays_and_until_when(
    client: Client, points: list[Run]
) -> None:
    first, old = seen(client, f"/runs/{points[0].pk}/"), seen(client, f"/runs/{points[3].pk}/")

    assert "kept until about" in first
    assert "last 1 of 2" in first
    assert "goes because no rule keeps it: older than everything that the rules keep" in old


def test_the_list_of_snapshots_and_the_plan_say_the_same(client: Client, points: list[Run]) -> None:
    snapshots, plan = (
        seen(client, "/snapshots/"),
        seen(client, "/policies/alice/policy1/retention/"),
    )

    for text in (snapshots, plan):
        assert "last 2 of 2" in text
        assert "goes older than everything" in text
    assert "The rules keep last 2" in plan
    assert "2 restore points are kept, 2 go" in plan
    only = seen(client, "/policies/alice/policy1/retention/?only=goes")
    assert "last 2 of 2" not in only


def test_words_of_a_reason_are_shown_as_they_were_typed(client: Client, points: list[Run]) -> None:
    holds.hold(points[0], reason='Bob\'s "audit" & more', until=None, by="alice")

    for path in ("/snapshots/", "/policies/alice/policy1/retention/", f"/runs/{points[0].pk}/"):
        assert 'Bob\'s "audit" & more' in seen(client, path)


def test_a_policy_without_rules_keeps_everything(client: Client, points: list[Run]) -> None:
    Policy.objects.update(keep_last=0)

    assert "the policy keeps every restore point" in seen(client, f"/runs/{points[3].pk}/")
    assert "Every restore point is kept" in seen(client, "/policies/alice/policy1/")


def test_a_run_that_is_no_restore_point_says_nothing(client: Client, policy: Policy) -> None:
    run = factories.RunFactory.create(policy=policy)

    assert "Retention" not in seen(client, f"/runs/{run.pk}/")


def test_too_many_restore_points_are_left_to_the_plan(
    client: Client, points: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MANY", 3)
    monkeypatch.setattr(planning, "MANY_ON_A_LIST", 3)

    shown = page.read(client, f"/runs/{points[0].pk}/")

    assert "The policy has too many restore points to decide here" in " ".join(shown.text.split())
    assert "/policies/alice/policy1/retention/" in shown.links
    assert "last 2 of 2" not in seen(client, "/snapshots/")
    assert "see its run" in seen(client, "/snapshots/")
    assert "last 2 of 2" in seen(client, "/policies/alice/policy1/retention/")


def test_a_person_holds_and_releases(client: Client, points: list[Run]) -> None:
    path = f"/runs/{points[3].pk}/"
    assert "whatever the rules of the policy say" in seen(client, f"{path}hold/")

    client.post(f"{path}hold/", {"reason": SVG, "until": "2100-01-01T00:00"})

    shown = page.read(client, path)
    assert SVG in shown.text  # as text
    assert "held by alice (freezer)" in " ".join(shown.text.split())
    assert 'value="2100-01-01T00:00"' in client.get(f"{path}hold/").content.decode()
    assert SVG in page.read(client, f"{path}release/").text

    client.post(f"{path}release/")

    after = seen(client, path)
    assert "goes because no rule keeps it" in after
    assert "alice released it" in after
    assert "nobody holds this restore point" in seen(client, f"{path}release/")


def test_a_hold_without_a_reason_is_refused(client: Client, points: list[Run]) -> None:
    answer = client.post(f"/runs/{points[3].pk}/hold/", {"reason": " ", "until": "soon"})

    text = answer.content.decode()
    assert "A hold needs a reason" in text or "This field is required" in text
    assert "Write a date and a time in UTC" in text
    assert not Hold.objects.exists()


def test_who_may_only_look_is_offered_nothing(policy: Policy, points: list[Run]) -> None:
    stranger = page.client_of(factories.charlie())
    path = f"/runs/{points[3].pk}/"

    for address in (path, f"{path}hold/", f"{path}release/", "/policies/alice/policy1/retention/"):
        assert stranger.get(address).status_code == 404
    assert stranger.post(f"{path}hold/", {"reason": "mine"}).status_code == 404
    assert not Hold.objects.exists()


def test_a_change_that_lets_more_go_asks_with_the_list(client: Client, points: list[Run]) -> None:
    form = filled(client, EDIT) | {"keep_last": "1", "do": "save"}

    asked = client.post(EDIT, form)

    text = " ".join(page.Page(asked.content.decode()).text.split())
    assert "Nothing was saved yet" in text
    assert "1 restore point is kept, and 1 goes as well" in text
    assert f"/runs/{points[1].pk}/" in asked.content.decode()
    assert Policy.objects.get().keep_last == 2

    client.post(EDIT, form | {"let_go": "7"})  # what was agreed to is not what would go now
    assert Policy.objects.get().keep_last == 2

    client.post(EDIT, form | {"let_go": "1"})
    assert Policy.objects.get().keep_last == 1


def test_a_change_that_keeps_as_much_is_saved_at_once(client: Client, points: list[Run]) -> None:
    client.post(EDIT, filled(client, EDIT) | {"keep_last": "3", "do": "save"})

    assert Policy.objects.get().keep_last == 3


def test_what_a_change_would_do_is_shown_while_it_is_typed(
    client: Client, points: list[Run]
) -> None:
    form = filled(client, EDIT) | {"keep_last": "1", "do": "check"}

    text = " ".join(page.Page(client.post(EDIT, form).content.decode()).text.split())

    assert "By these rules 1 restore point is kept and 3 go, 1 more than now ." in text
    assert Policy.objects.get().keep_last == 2


def test_generations_and_periods_exclude_each_other(client: Client, policy: Policy) -> None:
    answer = client.post(
        EDIT,
        filled(client, EDIT)
        | {"keep_generations": "30", "retention_timezone": "Mars/Olympus", "do": "save"},
    )

    text = answer.content.decode()
    assert "set generations to 0, or the others" in text
    assert "is not a time zone" in text
    assert Policy.objects.get().keep_generations == 0


def test_many_policies_on_a_list_cost_a_bounded_number_of_queries(
    client: Client, policy: Policy, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        other = factories.PolicyFactory.create(
            owner=policy.owner, name=f"other{number}", keep_last=1
        )
        newest, _ = nightly(other, 2)
        holds.hold(newest, reason="why", until=None, by="alice")
    client.get("/")

    with django_assert_max_num_queries(QUERIES):
        client.get("/snapshots/")


def test_pages_say_when_it_is_deleted_and_that_it_was(
    client: Client, points: list[Run], policy: Policy, removing: MemoryRemoving, cloud: MemoryCloud
) -> None:
    in_cloud(cloud, points)
    removing.bin_keeps = timedelta(days=7)
    cleaning.tick()
    for path in ("/snapshots/", "/policies/alice/policy1/retention/"):
        assert "deleted after" in seen(client, path)
    assert "It is deleted after" in seen(client, f"/runs/{points[3].pk}/")

    cleaning.prune(policy, by="alice")

    run, listed = seen(client, f"/runs/{points[3].pk}/"), seen(client, "/snapshots/")
    assert "as alice wanted: older than everything that the rules keep" in run
    for text in (run, listed):
        assert "in the Recycle Bin until" in text
    assert listed.count("older than everything") == 2
    assert as_json.run(points[3])["retention"]["deleted_at"] is not None
    only = seen(client, "/policies/alice/policy1/retention/?only=goes")
    assert "There are no restore points" in only


def test_a_deleted_one_is_taken_back_on_its_page(
    client: Client, points: list[Run], policy: Policy, removing: MemoryRemoving, cloud: MemoryCloud
) -> None:
    in_cloud(cloud, points)
    removing.bin_keeps = timedelta(days=7)
    cleaning.prune(policy, by="alice")
    path = f"/runs/{points[3].pk}/take-back/"
    assert "The Recycle Bin of AWS has its snapshots until" in seen(client, path)

    stranger = page.client_of(factories.bob())
    assert stranger.post(path).status_code == 404
    assert len(cloud.snapshot_ids) == 2
    answer = client.post(path, follow=True)

    assert "taken out of the Recycle Bin" in answer.content.decode()
    assert len(cloud.snapshot_ids) == 3
    assert "There is nothing to take back" in seen(client, path)


def test_a_server_that_keeps_all_says_so(
    client: Client, points: list[Run], settings: Settings
) -> None:
    settings.N2W_KEEP_ALL_SNAPSHOTS = True
    assert "This server deletes no snapshot" in seen(client, "/policies/alice/policy1/retention/")
