"""The pages of runs: what they show, to whom, and that a script's output never becomes markup."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from n2wbackup.lib import clock
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Account, PhaseResult, Policy, Run, RunEvent, RunSnapshot, RunTarget
from scripts_admin.models import User
from scripts_admin.services import folders
from tests import factories
from tests.policies.views import page

pytestmark = pytest.mark.django_db

NIGHT = datetime(2026, 3, 1, 2, 30, 15, 123456, tzinfo=UTC)
QUERIES_OF_A_LIST = 5  # session, person, what is shared, runs, banner
QUERIES_OF_A_RUN = 14  # as the page of a run


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password="x")


@pytest.fixture
def policy(alice: User) -> Policy:
    account = Account.objects.create(owner=alice, name="lab", access_key_id="AKIA")
    folder = folders.of(alice)
    return Policy.objects.create(owner=alice, folder=folder, account=account, name="nightly")


def _run(policy: Policy, **columns: object) -> Run:
    facts = {
        "policy": policy,
        "owner": policy.owner,
        "owner_name": policy.owner.username,
        "policy_name": policy.name,
        "trigger": Trigger.MANUAL,
        "created_at": NIGHT,
        "state": State.SUCCEEDED,
        "consistency": "application",
        "started_at": NIGHT,
        "ended_at": NIGHT + timedelta(seconds=6),
        "hold_seconds": 0.0123,
        "freeze_seconds": 0.456,
    }
    return Run.objects.create(**{**facts, **columns})


def _filled(run: Run, said: str = "the lock is held") -> Run:
    target = RunTarget.objects.create(
        run=run, instance_id="i-0123456789abcdef0", region="us-east-1", state="usable"
    )
    for number in range(3):
        RunSnapshot.objects.create(
            target=target,
            snapshot_id=f"snap-{run.pk.hex[:8]}{number}",
            volume_id=f"vol-{number}",
            state="completed",
            created_at=NIGHT,
        )
    factories.result(
        run, "before", exit_code=0, script="before_nightly.sh",
        started_at=NIGHT, ended_at=NIGHT, stdout=said,
    )  # fmt: skip
    RunEvent.objects.create(run=run, at=NIGHT, state="frozen", text="the window opens")
    return run


def test_the_list_shows_the_newest_run_first_with_what_it_is_worth(policy: Policy) -> None:
    old = _run(policy, created_at=NIGHT - timedelta(days=1), state=State.FAILED, consistency="none")
    new = _run(policy)

    seen = page.read(page.client_of(policy.owner), "/runs/")

    links = [attrs["href"] for tag, attrs in seen.tags if tag == "a"]
    assert [link for link in links if link in {f"/runs/{old.pk}/", f"/runs/{new.pk}/"}] == [
        f"/runs/{new.pk}/",
        f"/runs/{old.pk}/",
    ]
    for word in ("alice/nightly", "succeeded", "application", "failed", "12", "2026-03-01 02:30"):
        assert word in seen.text, word


def test_without_runs_the_list_says_how_to_start_one(alice: User) -> None:
    assert "run_policy OWNER/NAME" in page.read(page.client_of(alice), "/runs/").text


def test_a_policy_that_may_be_frozen_is_an_alarm_until_it_is_not(policy: Policy) -> None:
    client = page.client_of(policy.owner)
    assert ("role", "alert") not in [
        item for _, attrs in page.read(client, "/runs/").tags for item in attrs.items()
    ]

    Policy.objects.update(may_be_frozen_since=NIGHT)

    seen = page.read(client, "/runs/")
    assert ("role", "alert") in [item for _, attrs in seen.tags for item in attrs.items()]
    assert "alice/nightly" in seen.text
    assert "Thaw now" in seen.text


def test_a_run_shows_its_scripts_targets_snapshots_and_timeline(policy: Policy) -> None:
    run = _filled(_run(policy))

    seen = page.read(page.client_of(policy.owner), f"/runs/{run.pk}/")

    for word in (
        "alice/nightly", "12 ms", "456 ms", "before_nightly.sh", "the lock is held",
        "i-0123456789abcdef0", f"snap-{run.pk.hex[:8]}2", "the window opens", "02:30:15.123",
        "not run",
    ):  # fmt: skip
        assert word in seen.text, word


def test_a_run_that_has_not_begun_is_shown_too(policy: Policy) -> None:
    run = _run(
        policy, state=State.QUEUED, consistency="pending", started_at=None, ended_at=None,
        hold_seconds=None, freeze_seconds=None, created_at=clock.now(),
    )  # fmt: skip

    seen = page.read(page.client_of(policy.owner), f"/runs/{run.pk}/")

    assert "queued" in seen.text
    assert "The window as a table" not in seen.text


def test_what_a_script_prints_is_text_and_never_markup(policy: Policy) -> None:
    said = '"><svg onload=alert(1)><script>alert(1)</script><img src=x onerror=alert(2)>'
    run = _filled(_run(policy, reason=said, requested_by='"><svg onload=1>'), said=said)
    PhaseResult.objects.update(script=said)
    RunTarget.objects.update(reason=said)
    RunEvent.objects.update(text=said)

    seen = page.read(page.client_of(policy.owner), f"/runs/{run.pk}/")
    listed = page.read(page.client_of(policy.owner), "/runs/")

    for each in (seen, listed):
        assert not [tag for tag, _ in each.tags if tag == "img"]
        assert not [attrs for tag, attrs in each.tags if tag == "script" and "src" not in attrs]
        assert not [name for _, attrs in each.tags for name in attrs if name.startswith("on")]
        assert said in each.text
        assert not [name for _, attrs in each.tags for name in attrs if name.startswith("on")]


@pytest.mark.parametrize("path", ["/runs/", "run"])
def test_a_page_can_be_read_by_a_machine_that_reads_aloud(policy: Policy, path: str) -> None:
    run = _filled(_run(policy))

    seen = page.read(page.client_of(policy.owner), path if path != "run" else f"/runs/{run.pk}/")

    page.check_can_be_read_aloud(seen)


def test_what_the_pages_load_is_served(alice: User) -> None:
    seen = page.read(page.client_of(alice), "/runs/")
    files = [attrs["href"] or "" for tag, attrs in seen.tags if tag == "link"]
    files += [attrs["src"] or "" for tag, attrs in seen.tags if tag == "script"]

    assert len(files) > 4
    for file in files:
        answer = Client().get(file)
        assert answer.status_code == 200
        assert b"".join(answer)  # read to its end, so the file is closed


def test_a_stranger_finds_neither_the_run_nor_its_name(policy: Policy) -> None:
    run = _filled(_run(policy))
    stranger = page.client_of(User.objects.create_user("charlie", password="x"))

    assert "nightly" not in page.read(stranger, "/runs/").text
    assert stranger.get(f"/runs/{run.pk}/").status_code == 404
    assert stranger.get("/runs/5a1d4ad0-6a2f-4b3c-9b1c-0d3f7a3c9f10/").status_code == 404


def test_a_superuser_sees_every_run_and_the_way_to_the_administration(policy: Policy) -> None:
    run = _filled(_run(policy))
    boss = page.client_of(User.objects.create_superuser("boss", password="x"))

    seen = page.read(boss, "/runs/")

    assert "alice/nightly" in seen.text
    assert "/admin/" in [attrs.get("href") for _, attrs in seen.tags]
    assert boss.get(f"/runs/{run.pk}/").status_code == 200


@pytest.mark.parametrize("path", ["/runs/", "/runs/5a1d4ad0-6a2f-4b3c-9b1c-0d3f7a3c9f10/"])
def test_nobody_sees_a_page_without_logging_in(client: Client, path: str) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer["Location"]) == (302, f"/login/?next={path}")


def test_logging_out_is_a_button_that_works(alice: User) -> None:
    client = page.client_of(alice)
    seen = page.read(client, "/runs/")
    assert ("form", {"method": "post", "action": "/logout/"}) in seen.tags

    client.post("/logout/")

    assert client.get("/runs/").status_code == 302


def test_many_runs_and_snapshots_cost_as_many_queries_as_one(
    policy: Policy, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = page.client_of(policy.owner)
    runs = [_filled(_run(policy, created_at=NIGHT + timedelta(days=n))) for n in range(5)]

    client.get("/")  # the first page of a session notes when it began

    with django_assert_num_queries(QUERIES_OF_A_LIST):
        client.get("/runs/")
    with django_assert_num_queries(QUERIES_OF_A_RUN):
        client.get(f"/runs/{runs[0].pk}/")


def test_the_page_says_beside_a_phase_why_its_script_could_not_run(
    client: Client, alice: User, policy: Policy
) -> None:
    run = _run(policy, script_problems={"after": "after_nightly.sh is <a> folder."})
    client.force_login(alice)

    text = client.get(f"/runs/{run.pk}/").content.decode()

    assert text.count("after_nightly.sh is &lt;a&gt; folder.") == 1
