"""What the pages and the command say of drills and logins; the matrix has who may ask for them."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from n2wbackup.lib import clock
from policies.domain.trials import Kind, State, Verdict
from policies.models import Account, Policy, PolicyTarget, Trial, TrialResult
from policies.services.trials import working
from policies.services.trials.found import Found
from scripts_admin.models import User
from tests import factories

pytestmark = pytest.mark.django_db
PAGE = "/policies/alice/policy1/"
INSTANCE = "i-0123456789"
EVIL = '"><svg onload=alert(1)>'


@pytest.fixture
def owner(policy: Policy, alice: User, client: Client) -> Client:
    PolicyTarget.objects.create(
        policy=policy,
        instance_id=INSTANCE,
        region="us-east-1",
        remote_by="ssh",
        remote_user="app",
        remote_key="stored",
    )
    client.force_login(alice)
    return client


def found(
    policy: Policy, verdict: Verdict, sentence: str, *, days: int, kind: str = "drill"
) -> None:
    at = clock.now() - timedelta(days=days)
    trial = Trial.objects.create(
        policy=policy, kind=kind, state=State.DONE, asked_at=at, next_at=at, ended_at=at
    )
    TrialResult.objects.create(
        trial=trial,
        policy=policy,
        kind=kind,
        instance_id=INSTANCE,
        region="us-east-1",
        verdict=verdict,
        sentence=sentence,
        at=at,
    )


def text(client: Client, address: str = PAGE, **headers: str) -> str:
    return " ".join(client.get(address, headers=headers).content.decode().split())


def test_the_page_says_what_is_proven_and_when(owner: Client, policy: Policy) -> None:
    assert "never proven" in text(owner)

    found(policy, Verdict.PASSED, "It did.", days=12)
    assert ">1 week ago<" in text(owner)
    assert "Not proven to thaw" not in text(owner, "/")

    found(policy, Verdict.FAILED, f"It did not. {EVIL}", days=1)
    shown = text(owner)
    assert "It did not. &quot;&gt;&lt;svg onload=alert(1)&gt;" in shown
    assert "last proven" in shown
    told = text(owner, "/")
    assert "Not proven to thaw by themselves" in told
    assert EVIL not in shown + told


def test_an_old_proof_is_told(owner: Client, policy: Policy) -> None:
    found(policy, Verdict.PASSED, "It did.", days=46)

    assert "proof is old" in text(owner)
    assert "older than 45 days: drill it again" in text(owner, "/")


@pytest.mark.parametrize(("word", "kind"), [("drill", Kind.DRILL), ("log-in", Kind.LOGIN)])
def test_a_press_asks_a_worker_once_and_the_page_follows(
    owner: Client, word: str, kind: Kind
) -> None:
    first = owner.post(f"{PAGE}{word}/", follow=True)
    second = owner.post(f"{PAGE}{word}/", follow=True)

    trial = Trial.objects.get()
    assert (trial.kind, trial.state, trial.requested_by) == (kind, State.QUEUED, "alice")
    assert b"this page shows what" in first.content
    assert b"already" in second.content
    part = text(owner, **{"HX-Request": "true"})
    assert part.startswith("<section")
    assert 'hx-trigger="every 2s"' in part
    Trial.objects.update(ended_at=clock.now(), state=State.DONE)
    assert "hx-trigger" not in text(owner, **{"HX-Request": "true"})


def test_a_login_says_what_it_found(owner: Client, policy: Policy) -> None:
    found(policy, Verdict.FAILED, f"The port is closed. {EVIL}", days=1, kind="login")

    shown = text(owner)
    assert "The port is closed." in shown
    assert EVIL not in shown


def command(*words: str) -> tuple[Any, str]:
    """Return what the command prints as JSON, and its complaint."""
    out = io.StringIO()
    try:
        call_command("drill", *words, "--json", stdout=out)
    except CommandError as error:
        return json.loads(out.getvalue() or "null"), str(error)
    return json.loads(out.getvalue()), ""


@pytest.mark.parametrize("verdict", [Verdict.PASSED, Verdict.FAILED])
def test_the_command_drills_here_and_fails_where_something_is_not_proven(
    owner: Client, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    def drill(_: Policy, __: Account, targets: list[PolicyTarget]) -> list[Found]:
        return [Found(each, verdict, "It said so.", thaw_by="eof") for each in targets]

    monkeypatch.setitem(working.ACTS, Kind.DRILL, drill)

    report, complaint = command("alice/policy1")

    assert (report["policy"], report["kind"], report["state"]) == ("alice/policy1", "drill", "done")
    (one,) = report["instances"]
    assert one == {
        "instance": INSTANCE,
        "region": "us-east-1",
        "state": verdict,
        "thaw_by": "eof",
        "key": None,
        "reason": "It said so.",
    }
    assert bool(complaint) == (verdict != Verdict.PASSED)
    out = io.StringIO()
    if verdict == Verdict.PASSED:
        call_command("drill", "alice/policy1", stdout=out)
        assert "passed       It said so." in out.getvalue()


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("policy1", "does not name a policy"),
        ("alice/nothing", "There is no policy alice/nothing"),
        ("alice/policy1", "is queued: a backup goes first"),
    ],
)
def test_what_cannot_be_drilled_is_said_in_one_sentence(
    owner: Client, policy: Policy, label: str, said: str
) -> None:
    factories.RunFactory.create(policy=policy, state="queued")

    report, complaint = command(label)

    assert report is None
    assert said in complaint
    assert not Trial.objects.exists()
