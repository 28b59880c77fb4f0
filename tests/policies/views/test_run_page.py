"""The page of a run: why it ended so, its timelines, its buttons, what moves, and the last good run beside it."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.models import Policy, Run, RunSnapshot, RunTarget, Turn
from policies.services import runs
from policies.views.run import DEEDS
from scripts_admin.models import User
from scripts_admin.services import folders
from tests import factories
from tests.policies.views import page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

SVG = '"><svg onload=alert(1)>'
# Session, person, what is shared, run, targets, snapshots, phases there and here, events, ends of outputs, its removal,
# copies and proofs, banner.
QUERIES = 14


@pytest.fixture
def alice() -> User:
    return factories.alice()


@pytest.fixture
def policy(alice: User) -> Policy:
    return factories.PolicyFactory.create(owner=alice, name="nightly", folder=folders.of(alice))


def ended(policy: Policy, state: State = State.PARTIAL, ago: float = 1, **columns: object) -> Run:
    """Give a run with a window, a target and its scripts, that ended some hours ago."""
    at = clock.now() - timedelta(hours=ago)
    facts = {
        "created_at": at, "started_at": at, "ordered_at": at, "complete_started_at": at + timedelta(seconds=50),
        "ended_at": at + timedelta(seconds=60), "hold_seconds": 0.012, "freeze_seconds": 0.4, "thaw_by": "worker",
        "consistency": "application", "success_requires": "application",
    }  # fmt: skip
    run = factories.RunFactory.create(policy=policy, state=state, **{**facts, **columns})
    for number, phase in enumerate(("before", "after", "complete")):
        factories.result(
            run, phase, exit_code=0, script=f"{phase}_nightly.sh", stdout=f"{phase} said\n",
            started_at=at + timedelta(seconds=number), ended_at=at + timedelta(seconds=number + 0.5),
        )  # fmt: skip
    target = factories.RunTargetFactory.create(
        run=run, fired_at=at + timedelta(seconds=0.7), state="usable"
    )
    factories.RunSnapshotFactory.create(target=target, state="completed")
    runs.record(run, "the window opens", at=at)
    return run


def seen(run: Run, path: str = "", user: User | None = None) -> page.Page:
    return page.read(page.client_of(user or factories.alice()), f"/runs/{run.pk}/{path}")


def test_a_partial_is_explained_with_the_next_step(policy: Policy) -> None:
    run = ended(policy)
    run.phases.filter(phase="complete").update(outcome="failed")

    text = seen(run).text

    assert "complete failed, though the snapshots are whole" in text
    assert "Read what complete printed, correct the script, and test it." in text


def test_the_timelines_have_two_scales_and_a_table_each(policy: Policy) -> None:
    run = ended(policy)

    shown = seen(run)

    pictures = [attrs for tag, attrs in shown.tags if tag == "svg" and attrs.get("role") == "img"]
    assert [attrs["aria-labelledby"] for attrs in pictures] == ["course-label", "window-label"]
    assert "The server asked for the thaw as soon as its calls were over." in shown.text
    assert "call for i-" in shown.text
    assert not [name for _, attrs in shown.tags for name in attrs if name == "style"]
    page.check_can_be_read_aloud(shown)


def test_all_attempts_are_listed_each_with_what_it_printed(policy: Policy) -> None:
    run = ended(policy)
    for attempt in (2, 3):
        factories.result(run, "after", attempt=attempt, stderr=f"try {attempt}\n")

    shown = seen(run)

    assert "after, attempt 2" in shown.text
    assert f"/runs/{run.pk}/output/after/2/stderr" in shown.links
    assert "try 3" in shown.text


def test_every_free_text_is_text(policy: Policy) -> None:
    run = ended(
        policy, reason=SVG, requested_by=SVG, cancelled_by=SVG, script_problems={"before": SVG}
    )
    Run.objects.filter(pk=run.pk).update(policy_name=SVG, owner_name=SVG, thaw_by=SVG[:16])
    run.phases.update(script=SVG, outcome="failed")
    RunTarget.objects.update(reason=SVG, instance_id=SVG)
    RunSnapshot.objects.update(message=SVG, volume_id=SVG)
    run.events.update(text=SVG)
    ended(policy, State.SUCCEEDED, ago=9)

    for path in ("", "compare/", "again/", "cancel/"):
        shown = seen(run, path)
        assert not [name for _, attrs in shown.tags for name in attrs if name.startswith("on")], (
            path
        )
        assert SVG in shown.text


def test_what_moves_stops_when_the_run_has_ended_and_says_only_news(policy: Policy) -> None:
    run = ended(policy)
    Run.objects.filter(pk=run.pk).update(state=State.WAITING, ended_at=None)
    client = page.client_of(factories.alice())
    first = page.read(client, f"/runs/{run.pk}/")
    (asked,) = first.polled
    assert "1 of 1 snapshots are completed" in first.text

    same = client.get(asked, headers={"HX-Request": "true"}).content.decode()
    assert "hx-swap-oob" not in same
    assert "<html" not in same
    assert 'hx-trigger="every 2s"' in same

    Run.objects.filter(pk=run.pk).update(state=State.SUCCEEDED, ended_at=clock.now())
    last = client.get(asked, headers={"HX-Request": "true"}).content.decode()
    assert "The run has ended: succeeded." in last
    assert "hx-swap-oob" in last
    assert "hx-trigger" not in last


def buttons(shown: page.Page, run: Run) -> list[str]:
    places = {f"/runs/{run.pk}/{word}/": word for word in DEEDS}
    return [places[link] for link in shown.links if link in places]


def test_only_what_can_be_done_has_a_button(policy: Policy) -> None:
    run = ended(policy)
    assert buttons(seen(run), run) == ["again"]
    Run.objects.filter(pk=run.pk).update(
        state=State.WAITING, ended_at=None, complete_started_at=None
    )
    assert buttons(seen(run), run) == ["cancel"]
    Run.objects.filter(pk=run.pk).update(state=State.THAWING)
    assert buttons(seen(run), run) == ["thaw", "thawed", "cancel"]
    Run.objects.filter(pk=run.pk).update(state=State.PARTIAL, ended_at=clock.now())
    Policy.objects.update(may_be_frozen_since=clock.now())
    assert buttons(seen(run), run) == ["thaw", "thawed", "again"]


def done(client: Client, run: Run, word: str) -> list[str]:
    """Look at what will happen, and do it; return what the person is told."""
    address = f"/runs/{run.pk}/{word}/"
    asked = client.get(address)
    assert asked.status_code == 200
    assert "csrfmiddlewaretoken" in asked.content.decode()
    answer = client.post(address)
    assert answer.status_code == 302
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_a_run_is_cancelled(policy: Policy) -> None:
    run = factories.RunFactory.create(policy=policy)

    (told,) = done(page.client_of(factories.alice()), run, "cancel")

    run.refresh_from_db()
    assert (run.state, run.cancelled_by) == (State.CANCELLED, "alice")
    assert "cancelled" in told


def test_a_run_is_run_again(policy: Policy) -> None:
    run = ended(policy)

    done(page.client_of(factories.alice()), run, "again")

    new = Run.objects.exclude(pk=run.pk).get()
    assert (new.trigger, new.requested_by) == ("manual", "alice")


def test_a_thaw_that_was_given_up_is_tried_as_a_test_of_after(policy: Policy) -> None:
    run = ended(policy)
    Policy.objects.update(may_be_frozen_since=clock.now())

    done(page.client_of(factories.alice()), run, "thaw")

    new = Run.objects.exclude(pk=run.pk).get()
    assert (new.trigger, new.test_phase, new.test_argument) == ("test", "after", "0")


def test_a_person_confirms_the_thaw(policy: Policy) -> None:
    run = ended(policy)
    Policy.objects.update(may_be_frozen_since=clock.now())

    done(page.client_of(factories.alice()), run, "thawed")

    policy.refresh_from_db()
    assert policy.may_be_frozen_since is None
    assert run.events.filter(text="alice confirmed that it is thawed").exists()


def test_what_can_no_longer_be_done_is_refused_with_a_sentence(policy: Policy) -> None:
    run = ended(policy)
    client = page.client_of(factories.alice())

    assert "There is nothing to do" in client.get(f"/runs/{run.pk}/cancel/").content.decode()
    answer = client.post(f"/runs/{run.pk}/cancel/", follow=True)
    assert "has ended already" in answer.content.decode()


def test_a_stranger_finds_nothing_and_changes_nothing(policy: Policy) -> None:
    run = factories.RunFactory.create(policy=policy)
    stranger = page.client_of(factories.charlie())

    for path in ("", "compare/", *(f"{word}/" for word in DEEDS), "delete/"):
        assert stranger.get(f"/runs/{run.pk}/{path}").status_code == 404
        assert stranger.post(f"/runs/{run.pk}/{path}").status_code in {404, 405}
    run.refresh_from_db()
    assert run.state == State.QUEUED
    assert page.client_of(factories.alice()).get(f"/runs/{run.pk}/delete/").status_code == 404


def test_the_last_good_run_stands_beside_it(policy: Policy) -> None:
    ended(policy, State.SUCCEEDED, ago=30, hold_seconds=9.0)
    good = ended(policy, State.SUCCEEDED, ago=20)
    ended(policy, State.SUCCEEDED, ago=10, trigger="test")
    run = ended(policy, hold_seconds=4.0)
    ended(policy, State.SUCCEEDED, ago=0.5)
    run.phases.filter(phase="complete").update(outcome="failed", script="other.sh")

    shown = seen(run, "compare/")

    assert f"/runs/{good.pk}/" in shown.links
    for words in ("4.0 s", "12 ms", "complete_nightly.sh", "other.sh", "1 of 1"):
        assert words in shown.text
    page.check_can_be_read_aloud(shown)


def test_without_a_good_run_the_comparison_says_so(policy: Policy) -> None:
    assert "No run of this policy succeeded before" in seen(ended(policy), "compare/").text


def test_many_rows_cost_as_many_queries_as_one(
    policy: Policy, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    run = ended(policy)
    client = page.client_of(factories.alice())
    client.get("/")
    for number in range(6):
        factories.result(run, "after", attempt=number + 2, stdout="x")
        target = factories.RunTargetFactory.create(run=run)
        factories.RunSnapshotFactory.create(target=target)

    with django_assert_num_queries(QUERIES):
        client.get(f"/runs/{run.pk}/")


def test_a_queued_run_says_that_no_worker_takes_it(policy: Policy) -> None:
    run = ended(policy)
    Run.objects.update(state=State.QUEUED, ended_at=None)
    client = page.client_of(factories.alice())
    Turn.objects.create(name="poll", taken_at=clock.now())
    assert "a worker takes it soon" in page.read(client, f"/runs/{run.pk}/").text

    Turn.objects.update(taken_at=clock.now() - timedelta(minutes=5))
    shown = page.read(client, f"/runs/{run.pk}/").text
    assert "nothing takes it now. The workers have done nothing for 5 min" in " ".join(
        shown.split()
    )
