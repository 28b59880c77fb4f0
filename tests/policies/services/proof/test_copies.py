"""Proofs of copies: read where they are with the account that holds them, held, tagged, and picked by rule."""

import pytest

from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.domain.errors import RefusedError
from policies.domain.proofs import State
from policies.models import Alarm, Copy, Hold, Policy, Proof, Turn
from policies.ports import Credentials
from policies.ports.blocks import Blocks
from policies.services.proof import asking, due, working
from policies.services.proof.asking import Wish
from tests import factories
from tests.policies.services.proof.copied import COPY, PLACE, THERE, copied, lose, vault
from tests.policies.services.proof.prepared import Provable, restore_point


def made(ready: Provable, wish: Wish) -> Proof:
    proof = asking.ask(ready.run, wish, by="alice1")
    working.execute(proof.pk)
    return ready.again(proof)


def test_a_copy_is_read_where_it_is_with_the_account_that_holds_it(
    ready: Provable, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(ready)
    used: list[str] = []
    told: list[tuple[str, list[str], dict[str, str]]] = []

    def blocks(known: Credentials) -> Blocks:
        used.append(known.access_key_id)
        return ready.blocks

    monkeypatch.setattr(session, "blocks", blocks)
    monkeypatch.setattr(cloud, "tag", lambda *given: told.append(given))

    proof = made(ready, Wish(level=1, source=PLACE))

    assert (proof.state, proof.reached, proof.reason) == (State.PASSED, 1, "")
    assert (proof.snapshot_id, proof.region, proof.place) == (COPY, THERE, PLACE)
    (order,) = ready.images.orders
    assert (order.snapshot_id, order.region) == (COPY, THERE)
    assert order.credentials.access_key_id == vault().access_key_id
    assert used == [vault().access_key_id]
    ((region, ids, tags),) = told
    assert (region, ids) == (THERE, [COPY])
    assert tags["n2wbackup:proof"].startswith("passed level 1 ")
    assert any("copy in vault, eu-west-1" in each.text for each in proof.events.all())


def test_the_snapshots_themselves_are_tried_while_they_are_there_and_copies_where_not(
    ready: Provable,
) -> None:
    copied(ready)
    assert made(ready, Wish(level=0)).place == ""
    lose(ready)

    proof = made(ready, Wish(level=0))

    assert (proof.state, proof.snapshot_id, proof.place) == (State.PASSED, COPY, PLACE)


def test_one_copy_is_chosen_by_its_id_and_an_unknown_place_is_refused(ready: Provable) -> None:
    copied(ready)
    assert made(ready, Wish(level=0, snapshot=COPY)).place == PLACE
    number = Proof.objects.count()

    for wish in (Wish(level=0, source="mars"), Wish(level=0, snapshot="snap-1")):
        with pytest.raises(RefusedError, match=r"no usable copy|has no snapshot"):
            asking.ask(ready.run, wish, by="alice1")

    assert Proof.objects.count() == number


def test_the_restore_point_of_a_copy_is_held_while_it_is_read(
    ready: Provable, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(ready)
    lose(ready)
    seen: list[str] = []
    opened = ready.images.opened

    def look(order: object) -> object:
        seen.extend(Hold.objects.filter(released_at=None).values_list("kind", flat=True))
        return opened(order)  # type: ignore[arg-type]

    monkeypatch.setattr(ready.images, "opened", look)
    assert made(ready, Wish(level=1)).state == State.PASSED

    assert seen == ["proof"]
    assert not Hold.objects.filter(released_at=None).exists()


def test_a_copy_that_goes_before_it_is_tried_is_not_possible(ready: Provable) -> None:
    copied(ready)
    proof = asking.ask(ready.run, Wish(level=0, source=PLACE), by="alice1")
    Copy.objects.update(state="deleting")

    working.execute(proof.pk)

    assert ready.again(proof).state == State.NOT_POSSIBLE
    assert "being deleted" in ready.again(proof).reason
    assert ready.blocks.reads == []


def test_an_account_that_became_somebody_elses_reads_nothing(ready: Provable) -> None:
    copied(ready)
    proof = asking.ask(ready.run, Wish(level=0, source=PLACE), by="alice1")
    account = vault()
    account.owner = factories.charlie()
    account.save()

    working.execute(proof.pk)

    assert ready.again(proof).state == State.NOT_POSSIBLE
    assert "account of its copy" in ready.again(proof).reason
    assert ready.blocks.reads == []


def test_the_alarm_of_a_failed_proof_names_the_copy(ready: Provable) -> None:
    copied(ready)
    del ready.blocks.snapshots[COPY]

    assert made(ready, Wish(level=0, source=PLACE)).state == State.FAILED

    assert f"{COPY} (copy in vault, {THERE})" in Alarm.objects.get().text


def tick() -> None:
    Turn.objects.all().delete()
    due.tick()


def picked(ready: Provable, times: int = 30) -> set[str]:
    places = set()
    for _ in range(times):
        tick()
        places |= set(Proof.objects.values_list("place", flat=True))
        Proof.objects.all().delete()
    return places


def test_a_schedule_tries_copies_where_the_policy_says_so(ready: Provable) -> None:
    copied(ready)
    Policy.objects.update(proof_days=7, proof_level=0)
    assert picked(ready, 8) == {""}

    Policy.objects.update(proof_copies=True)

    assert picked(ready) == {"", PLACE}


def test_a_schedule_tries_the_copy_where_nothing_else_is_left(ready: Provable) -> None:
    copied(ready)
    lose(ready)
    Policy.objects.update(proof_days=7, proof_level=0)

    assert picked(ready, 3) == {PLACE}
    restore_point(ready.policy)
    assert picked(ready, 3) == {""}
