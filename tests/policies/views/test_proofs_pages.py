"""The pages of proofs: for those who may see, and as if they did not exist for all others."""

from pathlib import Path

import pytest
from django.test import Client

from n2wbackup.lib import clock
from policies.models import Policy, Proof
from policies.services.proof import asking
from policies.services.proof.asking import Wish
from tests import factories
from tests.policies.services.proof.copied import COPY, PLACE, THERE, copied
from tests.policies.services.proof.prepared import Provable, provable, restore_point

pytestmark = pytest.mark.django_db


@pytest.fixture
def ready(tmp_path: Path) -> Provable:
    policy = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    return provable(policy, tmp_path / "image")


@pytest.fixture
def proof(ready: Provable) -> Proof:
    made = asking.ask(ready.run, Wish(level=0), by="alice")
    Proof.objects.filter(pk=made.pk).update(
        state="passed",
        reached=0,
        ended_at=clock.now(),
        seconds=2.04,
        cost_usd=0.0003,
        blocks_read=48,
        blocks_of_snapshot=2249,
        redo_bytes=307638,
        redo="InnoDB's log from 44880 to 352518",
        mark="found",
        output="<script>alert(1)</script>\x1b[31m",
    )
    Policy.objects.filter(pk=ready.policy.pk).update(last_proof=made, proven_by=made)
    return ready.again(made)


def logged_in(name: str) -> Client:
    client = Client()
    client.force_login(factories.UserFactory.create(username=name))
    return client


def test_the_owner_sees_what_was_found_everywhere(proof: Proof, ready: Provable) -> None:
    alice = logged_in(ready.policy.owner.username)

    page = alice.get(f"/proofs/{proof.pk}/").content.decode()
    assert "48 of 2249 (2.1 %)" in page
    assert "InnoDB&#x27;s log from 44880 to 352518" in page
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert str(proof.pk) in alice.get("/proofs/").content.decode()
    for address in ("/", f"/policies/{ready.policy.label}/", f"/runs/{ready.run.pk}/"):
        assert "level 0, 2.0 s, $0.0003" in alice.get(address).content.decode(), address


def test_a_stranger_gets_404_everywhere(proof: Proof, ready: Provable) -> None:
    charlie = logged_in("charlie")

    for address in (f"/proofs/{proof.pk}/", f"/runs/{ready.run.pk}/prove/"):
        assert charlie.get(address).status_code == 404
    assert charlie.post(f"/runs/{ready.run.pk}/prove/", {"level": 0}).status_code == 404
    assert str(proof.pk) not in charlie.get("/proofs/").content.decode()
    assert Proof.objects.count() == 1


def test_a_proof_is_asked_for_on_the_page_of_its_run(ready: Provable) -> None:
    alice = logged_in(ready.policy.owner.username)
    form = alice.get(f"/runs/{ready.run.pk}/prove/").content.decode()
    assert ready.snapshot in form
    signature = form.split('name="form_of" value="')[1].split('"')[0]

    answer = alice.post(
        f"/runs/{ready.run.pk}/prove/",
        {"level": "3", "recipe": "mariadb", "snapshot": "", "form_of": signature},
    )

    made = Proof.objects.get()
    assert answer["Location"] == f"/proofs/{made.pk}/"
    assert (made.level, made.recipe, made.requested_by) == (
        3,
        "mariadb",
        ready.policy.owner.username,
    )
    assert "A worker takes it soon" in alice.get(f"/proofs/{made.pk}/").content.decode()


def test_what_cannot_be_proven_is_said_and_nothing_is_queued(ready: Provable) -> None:
    alice = logged_in(ready.policy.owner.username)
    form = alice.get(f"/runs/{ready.run.pk}/prove/").content.decode()
    signature = form.split('name="form_of" value="')[1].split('"')[0]

    answer = alice.post(
        f"/runs/{ready.run.pk}/prove/",
        {"level": "2", "recipe": "none", "form_of": signature},
        follow=True,
    )

    assert "none is named" in answer.content.decode()
    assert not Proof.objects.exists()


def test_a_copy_is_chosen_on_the_page_and_named_with_its_result(ready: Provable) -> None:
    copied(ready)
    alice = logged_in(ready.policy.owner.username)
    address = f"/runs/{ready.run.pk}/prove/"
    form = alice.get(f"{address}?source={PLACE}").content.decode()
    assert f"{COPY} of " in form
    assert f'value="{PLACE}" selected' in form
    signature = form.split('name="form_of" value="')[1].split('"')[0]

    alice.post(address, {"level": "0", "recipe": "none", "source": PLACE, "form_of": signature})

    made = Proof.objects.get()
    assert (made.snapshot_id, made.region) == (COPY, THERE)
    for shown in (f"/proofs/{made.pk}/", "/proofs/", f"/runs/{ready.run.pk}/"):
        assert f"(copy in vault, {THERE})" in " ".join(alice.get(shown).content.decode().split()), (
            shown
        )


def test_a_copy_of_a_place_that_the_run_has_not_is_no_choice(ready: Provable) -> None:
    copied(ready)
    other, _ = restore_point(ready.policy)
    alice = logged_in(ready.policy.owner.username)
    address = f"/runs/{other.pk}/prove/"
    form = alice.get(address).content.decode()
    assert COPY not in form
    signature = form.split('name="form_of" value="')[1].split('"')[0]

    wanted = {"level": "0", "recipe": "none", "source": PLACE, "form_of": signature}
    assert alice.post(address, wanted).status_code == 200
    assert alice.post(address, {**wanted, "source": "", "snapshot": COPY}).status_code == 200

    assert not Proof.objects.exists()
