"""`prove` and `show_proof`: what they print, and when they fail."""

import io
import json
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.models import Proof
from tests import factories
from tests.policies.services.proof.copied import COPY, PLACE, THERE, copied, lose
from tests.policies.services.proof.prepared import Provable, provable

pytestmark = pytest.mark.django_db


@pytest.fixture
def ready(cloud: MemoryCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Provable:
    policy = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    made = provable(policy, tmp_path / "image")
    monkeypatch.setattr(session, "images", lambda: made.images)
    monkeypatch.setattr(session, "blocks", lambda _credentials: made.blocks)
    assert cloud is session.cloud(None)  # type: ignore[arg-type] # it has one account for all
    return made


def said(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_the_newest_restore_point_of_a_policy_is_proven_and_shown_again(ready: Provable) -> None:
    ready.mark()

    text = said("prove", ready.policy.label, "--level", "3", "--recipe", "files", "--json")

    report = json.loads(text)
    assert (report["state"], report["level"], report["reached"]) == ("passed", 3, 3)
    assert (report["run"], report["snapshot"]) == (str(ready.run.pk), ready.snapshot)
    assert {"blocks_read", "cost_usd", "seconds", "redo", "mark", "output", "events"} <= set(report)
    shown = said("show_proof", report["id"])
    assert "state        passed" in shown
    assert "mark         found" in shown


def test_a_proof_that_does_not_pass_is_a_failure_of_the_command(ready: Provable) -> None:
    with pytest.raises(CommandError, match="no table or file n2wbackup_marks"):
        said("prove", str(ready.run.pk), "--level", "3", "--recipe", "files")

    assert Proof.objects.get().state == "failed"


def test_a_copy_is_proven_by_the_name_of_its_place(ready: Provable) -> None:
    copied(ready)

    report = json.loads(
        said("prove", ready.policy.label, "--level", "0", "--from", PLACE, "--json")
    )

    assert (report["state"], report["snapshot"], report["region"]) == ("passed", COPY, THERE)
    assert report["source"] == f"copy in vault, {THERE}"
    shown = said("show_proof", report["id"])
    assert f"snapshot     {COPY} in {THERE}, a copy in vault, {THERE}" in shown
    (of_run,) = json.loads(said("show_run", str(ready.run.pk), "--json"))["proofs"]
    assert (of_run["snapshot"], of_run["source"]) == (COPY, report["source"])


def test_the_newest_of_a_policy_may_be_a_copy_alone(ready: Provable) -> None:
    copied(ready)
    lose(ready)

    report = json.loads(said("prove", ready.policy.label, "--level", "0", "--json"))

    assert (report["state"], report["snapshot"]) == ("passed", COPY)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prove", "alice/none"], "There is no policy alice/none"),
        (["prove", str(uuid4())], "There is no run"),
        (["show_proof", str(uuid4())], "There is no proof"),
        (["show_proof", "x"], "is not a proof's id"),
    ],
)
def test_what_does_not_exist_is_said(words: list[str], message: str, ready: Provable) -> None:
    with pytest.raises(CommandError, match=message):
        said(*words)

    assert not ready.run.proofs.exists()
