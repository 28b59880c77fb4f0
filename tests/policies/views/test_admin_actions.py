"""Operators' actions on policies and runs in the admin; each needs its permission, and works only on their own rows."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.models import Account, Policy, Run, RunEvent
from policies.services.entry import policies
from scripts_admin.models import User
from tests.policies.views import page
from tests.policies.views.admin_forms import SECRET, act, schedule

pytestmark = pytest.mark.django_db
ACTIONS = ["back_up", "confirm_thaw", "enable", "disable"]


@pytest.fixture
def own(bob: User) -> Policy:
    """Bob's policy, which may be frozen."""
    account = Account.objects.create(
        owner=bob, name="own", access_key_id="A", secret_access_key=SECRET
    )
    made = Policy(owner=bob, account=account, name="own")
    policies.save(made, [schedule(bob)])
    Policy.objects.filter(pk=made.pk).update(may_be_frozen_since=clock.now())
    return made


def everything() -> list[object]:
    return [list(rows.values()) for rows in (Policy.objects, Run.objects, RunEvent.objects)]


def allow(user: User, *codenames: str) -> None:
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))


def logged() -> list[tuple[str, str, str]]:
    rows = LogEntry.objects.order_by("pk").select_related("user")
    return [(row.user.get_username(), row.object_repr, row.change_message) for row in rows]


def test_a_policy_is_backed_up_now_by_who_asked(client: Client, bob: User, own: Policy) -> None:
    (said,) = act(client, "policy", "back_up", own)

    run = Run.objects.get()
    assert (run.policy, run.trigger, run.requested_by) == (own, "manual", "bob")
    assert run.state == State.QUEUED
    assert said == f"bob/own: run {run.pk} is queued."
    assert logged() == [("bob", "own", f"Run {run.pk} is queued.")]


def test_a_policy_that_is_being_backed_up_is_refused_and_the_others_are_not(
    client: Client, boss: User, policy: Policy, run: Run
) -> None:
    other = Policy(owner=policy.owner, account=policy.account, name="other")
    policies.save(other)

    said = act(client, "policy", "back_up", policy, other)

    assert any("alice/policy1 is already being backed up" in sentence for sentence in said)
    assert Run.objects.filter(policy=policy).count() == 1
    assert Run.objects.get(policy=other).requested_by == "boss"


def test_a_persons_word_that_it_is_thawed_stands_in_the_history(
    client: Client, bob: User, own: Policy
) -> None:
    act(client, "policy", "back_up", own)

    said = act(client, "policy", "confirm_thaw", own)

    own.refresh_from_db()
    assert own.may_be_frozen_since is None
    assert said == ["bob/own: confirmed that it is thawed."]
    assert RunEvent.objects.filter(text="bob confirmed that it is thawed").exists()
    assert logged()[-1] == ("bob", "own", "Confirmed that it is thawed.")
    assert "there is nothing to confirm" in act(client, "policy", "confirm_thaw", own)[0]


def test_a_policy_is_disabled_and_on_and_planned_anew(
    client: Client, bob: User, own: Policy
) -> None:
    act(client, "policy", "disable", own)
    own.refresh_from_db()
    assert (own.enabled, own.next_run_at) == (False, None)

    act(client, "policy", "enable", own)
    own.refresh_from_db()
    assert own.enabled
    assert own.next_run_at is not None
    assert own.may_be_frozen_since is not None


def test_what_the_rules_forbid_is_not_switched_on(client: Client, boss: User, alice: User) -> None:
    account = Account.objects.create(owner=alice, name="own", auth="instance")
    made = Policy(owner=alice, account=account, name="night", enabled=False)
    Policy.objects.bulk_create([made_in_folder(made)])
    before = everything()

    (said,) = act(client, "policy", "enable", Policy.objects.get())

    assert "alice/night: " in said
    assert "server's own role" in said
    assert everything() == before


def made_in_folder(policy: Policy) -> Policy:
    policy.folder = policy.owner.folder
    return policy


@pytest.mark.parametrize("action", ACTIONS)
def test_no_action_reaches_a_strangers_policy(
    client: Client, bob: User, policy: Policy, action: str
) -> None:
    Policy.objects.update(may_be_frozen_since=clock.now(), enabled=action != "enable")
    before = everything()

    said = act(client, "policy", action, policy)

    assert not any("policy1" in sentence for sentence in said)
    assert everything() == before
    assert logged() == []


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may_only_look_at_policies_does_nothing_to_them(
    client: Client, bob: User, own: Policy, action: str
) -> None:
    allow(bob, "view_policy", "view_run", "change_run", "change_account")
    Policy.objects.update(enabled=action != "enable")
    before = everything()

    assert "own" in page.read(client, "/admin/policies/policy/").text
    act(client, "policy", action, own)

    assert everything() == before


def test_a_run_is_cancelled_by_who_asked(client: Client, bob: User, own: Policy) -> None:
    act(client, "policy", "back_up", own)
    run = Run.objects.get()

    said = act(client, "run", "cancel_runs", run)

    run.refresh_from_db()
    assert (run.state, run.cancelled_by) == (State.CANCELLED, "bob")
    assert said == [f"Run {run.pk}: cancelled."]
    assert logged()[-1] == ("bob", str(run.pk), "Cancelled.")
    assert "has ended already" in act(client, "run", "cancel_runs", run)[0]


def test_nobody_cancels_a_strangers_run_nor_without_the_right(
    client: Client, bob: User, own: Policy, run: Run
) -> None:
    act(client, "policy", "back_up", own)
    mine = Run.objects.get(owner=bob)
    before = everything()

    act(client, "run", "cancel_runs", run)
    assert everything() == before

    allow(bob, "view_run", "change_policy", "view_policy", "delete_run", "add_run")
    act(client, "run", "cancel_runs", mine)
    assert everything() == before


def test_the_right_to_change_runs_allows_nothing_but_to_cancel(
    client: Client, bob: User, own: Policy
) -> None:
    act(client, "policy", "back_up", own)
    run = Run.objects.get()

    assert (
        client.post(f"/admin/policies/run/{run.pk}/change/", {"state": "failed"}).status_code == 403
    )
    assert client.post(f"/admin/policies/run/{run.pk}/delete/", {"post": "yes"}).status_code == 403
    act(client, "run", "delete_selected", run)
    assert Run.objects.get().state == State.QUEUED


def test_runs_are_found_by_policy_state_trigger_and_date(
    client: Client, boss: User, policy: Policy, run: Run
) -> None:
    other = Policy(owner=policy.owner, account=policy.account, name="other")
    policies.save(other)
    act(client, "policy", "back_up", other)
    made = Run.objects.get(policy=other)

    def found(query: str) -> set[str | None]:
        links = page.read(client, f"/admin/policies/run/?{query}").links
        return {str(r.pk) for r in (run, made) if any(str(r.pk) in (link or "") for link in links)}

    assert found(f"of_policy={policy.pk}") == {str(run.pk)}
    assert found("state__exact=queued") == {str(made.pk)}
    assert found("state__exact=frozen") == {str(run.pk)}
    assert found("trigger__exact=schedule") == set()
    assert found("created_at__gte=2100-01-01+00:00Z") == set()
    assert found("of_policy=x") == set()


def test_the_filter_names_no_policy_of_somebody_else(
    client: Client, bob: User, own: Policy, policy: Policy, run: Run
) -> None:
    act(client, "policy", "back_up", own)

    seen = page.read(client, "/admin/policies/run/")
    assert "bob/own" in seen.text
    assert "policy1" not in seen.text
    for query in (f"of_policy={policy.pk}", f"policy={policy.pk}", "policy__name=policy1"):
        answer = client.get(f"/admin/policies/run/?{query}", follow=True)
        assert str(run.pk) not in answer.content.decode()


def test_a_run_shows_for_how_many_due_times_it_stands_and_its_retry(
    client: Client, boss: User, run: Run
) -> None:
    due, last, retry = ("2026-11-20T02:00Z", "2026-11-22T02:00Z", "2026-11-22T02:10Z")
    Run.objects.update(
        scheduled_for=due,
        due_count=3,
        due_until=last,
        retry_at=retry,
        trigger="schedule",
        attempt=2,
    )

    seen = page.read(client, f"/admin/policies/run/{run.pk}/change/").text

    assert "2026-11-20 02:00:00 UTC" in seen
    assert "3 due times, the last at 2026-11-22 02:00 UTC" in seen
    assert "2026-11-22 02:10:00 UTC" in seen
