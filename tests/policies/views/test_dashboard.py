"""The dashboard: the verdict, what a person can do about it, and nothing of other people."""

from datetime import timedelta

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from n2wbackup.lib import clock, home
from policies.domain.runs.sequence import State
from policies.models import DailyCount, Policy, Run, Server
from policies.selectors import dashboard, health
from policies.selectors.protection import Counts
from scripts_admin.models import User
from tests import factories
from tests.policies.views import page

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
QUERIES = 28


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_ping", lambda: True)


def protected(policy: Policy, **columns: object) -> None:
    now = clock.now()
    columns = {"protected_until": now + HOUR, "unprotected_from": now + 2 * HOUR, **columns}
    Policy.objects.filter(pk=policy.pk).update(paused_since=None, **columns)


def index(user: User) -> page.Page:
    return page.read(page.client_of(user), "/")


@pytest.mark.parametrize(
    ("counts", "colour", "sentence"),
    [
        (Counts(), "warn", "Nothing is backed up yet."),
        (
            Counts(total=8, protected=8),
            "good",
            "All 8 policies are protected. Nothing is frozen, overdue or failing.",
        ),
        (
            Counts(total=1, protected=1),
            "good",
            "The one policy is protected. Nothing is frozen, overdue or failing.",
        ),
        (
            Counts(total=8, frozen=1, unprotected=2, late=1, protected=5),
            "bad",
            "1 application may be frozen; 2 policies are unprotected; 1 policy is overdue.",
        ),
        (Counts(total=2, never=1, protected=1), "bad", "1 policy was never backed up."),
        (Counts(total=2, failing=2, protected=2), "warn", "2 policies are failing."),
        (
            Counts(total=2, paused=2),
            "warn",
            "All 2 policies are paused: nothing is frozen, and nothing is backed up.",
        ),
        (
            Counts(total=3, paused=1, protected=2),
            "good",
            "Nothing is frozen, overdue or failing; 2 protected, 1 paused.",
        ),
    ],
)
def test_the_verdict_is_one_sentence(counts: Counts, colour: str, sentence: str) -> None:
    assert dashboard.verdict(counts) == (colour, sentence)


def test_every_count_is_a_link_to_what_it_counts(policy: Policy) -> None:
    protected(policy, protected_until=clock.now() - HOUR)
    seen = index(policy.owner)
    assert "1 policy is overdue." in seen.text
    for state in ("frozen", "unprotected", "never", "late", "failing", "paused", "protected"):
        assert f"/policies/?state={state}" in seen.links


def test_what_may_be_frozen_is_a_banner_with_both_buttons(policy: Policy) -> None:
    protected(policy, may_be_frozen_since=clock.now() - HOUR)
    seen = index(policy.owner)
    assert "alert" in [attrs.get("role") for _, attrs in seen.tags]
    sent_to = [attrs.get("action") for tag, attrs in seen.tags if tag == "form"]
    assert "/policies/alice/policy1/thaw/" in sent_to
    assert "/policies/alice/policy1/thawed/" in sent_to


def test_a_word_that_it_is_thawed_takes_the_banner_away(policy: Policy) -> None:
    protected(policy, may_be_frozen_since=clock.now())
    client = page.client_of(policy.owner)

    answer = client.post("/policies/alice/policy1/thawed/", {"next": "/"}, follow=True)

    assert answer.redirect_chain == [("/", 302)]
    assert "alice/policy1: confirmed that it is thawed." in answer.content.decode()
    assert Policy.objects.get(pk=policy.pk).may_be_frozen_since is None


def test_thaw_now_runs_after_and_says_so(policy: Policy) -> None:
    protected(policy, may_be_frozen_since=clock.now())
    answer = page.client_of(policy.owner).post(
        "/policies/alice/policy1/thaw/", {"next": "https://example.org/"}, follow=True
    )
    assert answer.redirect_chain == [("/policies/alice/policy1/", 302)]
    assert "after is run now, with 0, in run" in answer.content.decode()
    assert Run.objects.get().test_phase == "after"


def test_a_refusal_says_why(policy: Policy) -> None:
    answer = page.client_of(policy.owner).post("/policies/alice/policy1/thaw/", follow=True)
    assert "is not marked as frozen; there is nothing to thaw." in answer.content.decode()


def test_the_part_that_moves_asks_again_and_comes_alone(run: Run) -> None:
    client = page.client_of(run.policy.owner)  # type: ignore[union-attr]
    whole = page.read(client, "/")
    moving = [attrs for _, attrs in whole.tags if attrs.get("id") == "running"]
    assert [each["hx-trigger"] for each in moving] == ["every 2s"]

    part = client.get("/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert str(run.pk) in part

    Run.objects.update(state=State.FAILED, ended_at=clock.now())
    later = client.get("/", headers={"HX-Request": "true"}).content.decode()
    assert "No run is going on." in later


def test_what_failed_is_told_with_its_reason(policy: Policy) -> None:
    last = factories.RunFactory.create(
        policy=policy, state=State.FAILED, ended_at=clock.now(), reason="AWS refused."
    )
    protected(policy, failed_since=clock.now() - 3 * HOUR, last_run=last)
    seen = index(policy.owner)
    assert "1 policy is failing." in seen.text
    assert "3 hours ago" in seen.text
    assert "AWS refused." in seen.text


def test_a_stranger_sees_nothing_of_it(policy: Policy, run: Run, client: Client, bob: User) -> None:
    DailyCount.objects.create(policy=policy, day=clock.now().date(), state="failed", runs=1)
    Policy.objects.update(may_be_frozen_since=clock.now(), failed_since=clock.now())
    Run.objects.update(gone_at=clock.now())
    for path in ("/", "/policies/"):
        assert "policy1" not in page.read(client, path).text
    part = client.get("/", headers={"HX-Request": "true"}).content.decode()
    assert str(run.pk) not in part


def test_an_empty_installation_says_what_to_do(boss: User, client: Client) -> None:
    seen = page.read(client, "/")
    assert "Nothing is backed up yet." in seen.text
    assert "Add an AWS account" in seen.text


def test_it_can_be_read_by_a_machine_that_reads_aloud(policy: Policy, run: Run) -> None:
    DailyCount.objects.create(policy=policy, day=clock.now().date(), state="failed", runs=1)
    Policy.objects.update(may_be_frozen_since=clock.now(), failed_since=clock.now())
    Run.objects.update(gone_at=clock.now())
    seen = index(policy.owner)
    tags = [tag for tag, _ in seen.tags]
    assert tags.count("h1") == 1
    assert all(attrs.get("scope") for tag, attrs in seen.tags if tag == "th")
    identifiers = [attrs["id"] for _, attrs in seen.tags if "id" in attrs]
    assert len(identifiers) == len(set(identifiers))
    assert all(
        attrs.get("aria-label") or attrs.get("aria-hidden")
        for tag, attrs in seen.tags
        if tag == "svg"
    )


def test_many_rows_cost_as_many_queries_as_one(
    policy: Policy, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        made = factories.PolicyFactory.create(owner=policy.owner, name=f"more-{number}")
        run = factories.RunFactory.create(
            policy=made, state=State.FAILED, ended_at=clock.now(), gone_at=clock.now()
        )
        Policy.objects.filter(pk=made.pk).update(
            last_run=run, failed_since=clock.now(), may_be_frozen_since=clock.now()
        )
    client = page.client_of(policy.owner)
    client.get("/")
    with django_assert_max_num_queries(QUERIES):
        client.get("/")


def test_a_broker_that_is_away_is_told_and_holds_nothing_up(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health._broker_answers, "_answered_at", float("-inf"))
    monkeypatch.setattr(health, "_ping", lambda: False)
    assert "no new run starts until it is back" in index(policy.owner).text
    monkeypatch.setattr(health._broker_answers, "_answered_at", float("-inf"))


def test_a_server_without_a_heartbeat_is_told(policy: Policy) -> None:
    now = clock.now() - HOUR
    Server.objects.create(id=home.server_id(), host="one", first_seen_at=now, heartbeat_at=now)
    assert "no heartbeat for 60 min" in index(policy.owner).text


@pytest.mark.parametrize(
    ("late_seconds", "state"), [(4, health.OK), (90, health.WARNING), (700, health.ERROR)]
)
def test_runs_that_begin_late_are_told_if_the_server_is_why(
    policy: Policy, late_seconds: int, state: str
) -> None:
    now = clock.now()
    for number in range(5):
        due = now - timedelta(seconds=late_seconds + number)
        factories.RunFactory.create(
            policy=policy, trigger="schedule", scheduled_for=due, created_at=due,
            ordered_at=due + timedelta(seconds=late_seconds), ended_at=now, state=State.SUCCEEDED,
        )  # fmt: skip

    def told() -> health.Part:
        return next(part for part in health.parts(None) if part.name == "Punctuality")

    assert told().state == state
    assert told().text.startswith(
        f"of 5 runs of the last 15 min, 95 % began within {late_seconds} s"
    )
    Run.objects.update(waits_on={"resources": ["us-east-1:i-0"]})
    assert told() == health.Part("Punctuality", health.OK, "no run was due in the last 15 min")


def test_what_was_due_while_no_server_ran_says_nothing_of_cores(policy: Policy) -> None:
    now = clock.now()
    for minutes in range(15, 20):
        due = now - timedelta(minutes=minutes)
        made = factories.RunFactory.create(
            policy=policy, trigger="schedule", scheduled_for=due, created_at=now - timedelta(seconds=9),
            ordered_at=now - timedelta(seconds=2), ended_at=now, state=State.SUCCEEDED,
        )  # fmt: skip
        assert made.late_seconds == minutes * 60 - 2

    (part,) = [each for each in health.parts(None) if each.name == "Punctuality"]

    assert part.state == health.OK
    assert "95 % began within 7 s" in part.text


def test_a_row_from_the_future_is_told_as_a_clock(policy: Policy) -> None:
    later = clock.now() + HOUR
    Server.objects.create(id="another", host="two", first_seen_at=later, heartbeat_at=later)
    assert "another server's clock is ahead" in index(policy.owner).text


def test_free_text_is_text(policy: Policy) -> None:
    bad = '"><svg onload=alert(1)>'
    last = factories.RunFactory.create(
        policy=policy, state=State.FAILED, ended_at=clock.now(), reason=bad
    )
    Policy.objects.update(failed_since=clock.now(), last_run=last)
    seen = index(policy.owner)
    assert bad in seen.text
    assert not [attrs for _, attrs in seen.tags if "onload" in attrs]
