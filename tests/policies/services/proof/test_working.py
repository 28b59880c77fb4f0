"""Proofs as rows: levels in memory, holds, one at a time, deaths, tags and alarms."""

from datetime import timedelta

import pytest
from pytest_django import Settings

from n2wbackup.lib import clock, home
from policies.adapters.memory import MemoryCloud
from policies.domain.errors import (
    ImageDamagedError,
    ImageError,
    ImageNotPossibleError,
    NotPermittedError,
    RefusedError,
)
from policies.domain.proofs import Level, Recipe, State
from policies.models import Alarm, Hold, Policy, Proof, ProofEvent
from policies.ports.images import Order
from policies.services.proof import asking, living, telling, working
from policies.services.proof.asking import Wish
from policies.services.retention import planning
from scripts_admin.folders import storage
from tests import factories
from tests.policies.services.proof.prepared import MARK, Provable, restore_point

FILES = Wish(level=3, recipe=Recipe.FILES)


def made(ready: Provable, wish: Wish = FILES) -> Proof:
    proof = asking.ask(ready.run, wish, by="alice1")
    working.execute(proof.pk)
    return ready.again(proof)


def test_level_0_reads_a_sample_and_says_what_that_cost(ready: Provable) -> None:
    proof = made(ready, Wish(level=0))

    assert (proof.state, proof.reached, proof.reason) == (State.PASSED, 0, "")
    assert (proof.blocks_read, proof.blocks_of_snapshot) == (64, 100)
    assert len(set(ready.blocks.reads)) == 64
    assert proof.cost_usd == pytest.approx(64 * 0.003 / 1000, abs=1e-5)
    assert ready.images.orders == []


def test_level_0_reads_every_block_if_that_is_asked_for(ready: Provable) -> None:
    proof = made(ready, Wish(level=0, full=True))

    assert (proof.state, proof.blocks_read) == (State.PASSED, 100)


def test_a_full_reading_beyond_the_budget_is_not_begun(ready: Provable, settings: Settings) -> None:
    settings.N2W_PROOF_BLOCKS = 50

    proof = made(ready, Wish(level=0, full=True))

    assert proof.state == State.NOT_POSSIBLE
    assert "N2W_PROOF_BLOCKS" in proof.reason
    assert ready.blocks.reads == []


def test_level_1_opens_the_snapshot_and_closes_it(ready: Provable) -> None:
    proof = made(ready, Wish(level=1))

    assert (proof.state, proof.reached, proof.file_system) == (State.PASSED, 1, "ext4")
    assert proof.blocks_read == 4 + 19
    assert ready.images.orders[0].key == working.image_key(proof.pk, 1)
    assert ready.images.keys() == ()


def test_an_owner_whose_snapshots_may_not_be_opened_gets_level_0_only(ready: Provable) -> None:
    ready.policy.owner.user_permissions.clear()

    proof = made(ready, Wish(level=1))

    assert (proof.state, proof.reached) == (State.NOT_POSSIBLE, -1)
    assert "may not be opened on this server" in proof.reason
    assert ready.images.orders == []
    assert made(ready, Wish(level=0)).state == State.PASSED


def test_level_3_finds_the_mark_that_before_wrote(ready: Provable) -> None:
    ready.mark()

    proof = made(ready)

    assert (proof.state, proof.reached, proof.mark) == (State.PASSED, 3, "found")
    assert proof.reason == ""


def test_without_the_mark_level_3_fails_and_says_so(ready: Provable) -> None:
    ready.mark(f"{'0' * 32} 1\n")

    proof = made(ready)

    assert (proof.state, proof.reached, proof.mark) == (State.FAILED, 2, "missing")
    assert proof.reason.startswith("Level 3 (agrees) failed: the mark of its run is not in it")
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.policy) == ("proof_failed", ready.policy)
    assert proof.reason in alarm.text


def test_a_mark_that_is_younger_than_the_fire_fails_it(ready: Provable) -> None:
    ready.mark(f"{MARK} 1\n{'1' * 32} {int(clock.now().timestamp()) + 60}\n")

    proof = made(ready)

    assert proof.state == State.FAILED
    assert "younger" in proof.reason


def test_the_owners_verification_decides_and_gets_the_paths(ready: Provable) -> None:
    folder = storage.create(ready.policy.folder)
    script = folder / "verify_policy1.sh"
    script.write_text(
        '#!/bin/bash\necho "$N2W_MARK in $N2W_PROOF_DATA"; echo "n2w verify 0"; exit 4\n'
    )

    proof = made(ready)

    assert proof.state == State.FAILED
    assert "exit code 4" in proof.reason
    assert f"{MARK} in {ready.folder}" in proof.output
    script.write_text("#!/bin/bash\nexit 0\n")
    assert made(ready).state == State.PASSED


def test_two_verifications_are_ambiguous_and_none_runs(ready: Provable) -> None:
    folder = storage.create(ready.policy.folder)
    for ending in ("sh", "py"):
        (folder / f"verify_policy1.{ending}").write_text("#!/bin/bash\n")

    proof = made(ready)

    assert proof.state == State.NOT_POSSIBLE
    assert "More than one file fits verify" in proof.reason


def test_a_program_of_the_owners_own_is_level_2(ready: Provable) -> None:
    folder = storage.create(ready.policy.folder)
    start = folder / "start_policy1.sh"
    start.write_text("#!/bin/bash\necho started\n")
    assert made(ready, Wish(level=2, recipe=Recipe.FILES)).state == State.PASSED

    start.write_text("#!/bin/bash\necho broken >&2\nexit 9\n")
    proof = made(ready, Wish(level=2, recipe=Recipe.FILES))

    assert (proof.state, proof.reached) == (State.FAILED, 1)
    assert "exit code 9" in proof.reason
    assert "broken" in proof.output


def test_files_alone_start_nothing(ready: Provable) -> None:
    proof = made(ready, Wish(level=2, recipe=Recipe.FILES))

    assert proof.state == State.NOT_POSSIBLE
    assert "start_<policy>" in proof.reason


def test_a_snapshot_without_the_data_of_the_recipe_is_not_proven(ready: Provable) -> None:
    proof = made(ready, Wish(level=2, recipe=Recipe.MARIADB))

    assert (proof.state, proof.reached) == (State.NOT_POSSIBLE, 1)
    assert "No data folder of MariaDB" in proof.reason


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ImageDamagedError("No file system that is known was found."), State.FAILED),
        (ImageNotPossibleError("Too many are open."), State.NOT_POSSIBLE),
        (ImageError("The launcher does not answer."), State.NOT_POSSIBLE),
        (NotPermittedError("kms:Decrypt is missing."), State.NOT_POSSIBLE),
    ],
)
def test_what_keeps_an_image_closed_is_a_result(
    error: Exception, state: State, ready: Provable
) -> None:
    ready.images.fails[ready.snapshot] = error

    proof = made(ready, Wish(level=1))

    assert (proof.state, proof.reached) == (state, 0)
    assert str(error) in proof.reason


def test_a_pending_snapshot_or_a_missing_program_is_not_possible_and_never_green(
    ready: Provable,
) -> None:
    ready.images.missing = "nbdkit is not installed: apt install nbdkit."
    proof = made(ready, Wish(level=1))
    assert (proof.state, proof.reason) == (State.NOT_POSSIBLE, ready.images.missing)

    ready.blocks.snapshots[ready.snapshot].why_not = "It is archived."
    proof = made(ready, Wish(level=0))
    assert (proof.state, proof.reached, proof.reason) == (State.NOT_POSSIBLE, -1, "It is archived.")
    ready.policy.refresh_from_db()
    assert ready.policy.last_proof == proof
    assert ready.policy.proven_by is None
    assert not Alarm.objects.exists()


def test_a_snapshot_that_is_gone_fails_at_level_0(ready: Provable) -> None:
    del ready.blocks.snapshots[ready.snapshot]

    proof = made(ready, Wish(level=0))

    assert (proof.state, proof.reached) == (State.FAILED, -1)
    assert "Level 0 (readable) failed" in proof.reason


def test_the_restore_point_is_held_only_while_it_is_proven(
    ready: Provable, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    opened = ready.images.opened

    def look(order: object) -> object:
        seen.extend(Hold.objects.filter(released_at=None).values_list("kind", flat=True))
        return opened(order)  # type: ignore[arg-type]

    monkeypatch.setattr(ready.images, "opened", look)
    made(ready, Wish(level=1))

    assert seen == ["proof"]
    assert not Hold.objects.filter(released_at=None).exists()


def test_one_proof_of_an_owner_works_at_a_time(ready: Provable) -> None:
    other, _ = restore_point(ready.policy)
    going = asking.ask(other, Wish(level=0), by="")
    Proof.objects.filter(pk=going.pk).update(state=State.WORKING)
    waiting = asking.ask(ready.run, Wish(level=0), by="")

    working.execute(waiting.pk)
    assert ready.again(waiting).state == State.QUEUED

    Proof.objects.filter(pk=going.pk).update(state=State.PASSED, ended_at=clock.now())
    working.execute(waiting.pk)
    assert ready.again(waiting).state == State.PASSED


def test_a_proof_whose_worker_died_begins_again_and_ends_after_some_tries(ready: Provable) -> None:
    proof = asking.ask(ready.run, Wish(level=0), by="")
    for tries in range(1, working.TRIES + 1):
        Proof.objects.filter(pk=proof.pk).update(
            state=State.WORKING,
            tries=tries,
            server_id=home.server_id(),
            next_at=clock.now() + working.CLAIM,
        )
        working.tick()
        assert ready.again(proof).state == State.QUEUED
    working.execute(proof.pk)

    assert ready.again(proof).state == State.NOT_POSSIBLE
    assert "ended before it knew anything" in ready.again(proof).reason
    assert ProofEvent.objects.filter(proof=proof, text__contains="died").count() == working.TRIES


def test_a_proof_whose_worker_lives_is_left_alone(ready: Provable) -> None:
    proof = asking.ask(ready.run, Wish(level=0), by="")
    Proof.objects.filter(pk=proof.pk).update(
        state=State.WORKING, server_id=home.server_id(), next_at=clock.now() + working.CLAIM
    )
    held = living.hold(proof.pk)
    assert held is not None

    working.tick()
    assert ready.again(proof).state == State.WORKING

    living.let_go(proof.pk, held)
    working.tick()
    assert ready.again(proof).state == State.QUEUED


def test_what_a_dead_worker_was_still_opening_is_closed_when_it_is_open(ready: Provable) -> None:
    proof = made(ready, Wish(level=0))
    Proof.objects.filter(pk=proof.pk).update(tries=2)
    for number in (1, 2):
        key = working.image_key(proof.pk, number)
        ready.images.opened(Order(key, "us-east-1", ready.snapshot))

    working.tick()

    assert ready.images.keys() == (working.image_key(proof.pk, 2),)


def test_the_result_is_a_tag_and_is_repeated_until_aws_takes_it(
    ready: Provable, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, list[str], dict[str, str]]] = []

    def refuse(*_: object) -> None:
        raise NotPermittedError("no")

    monkeypatch.setattr(cloud, "tag", refuse)
    proof = made(ready, Wish(level=0))
    assert proof.tag_due

    monkeypatch.setattr(cloud, "tag", lambda *given: told.append(given))
    telling.tick()

    assert not ready.again(proof).tag_due
    ((region, ids, tags),) = told
    assert (region, ids) == ("us-east-1", [ready.snapshot])
    assert tags["n2wbackup:proof"].startswith("passed level 0 ")


def test_an_error_that_nobody_foresaw_ends_it(
    ready: Provable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(ready.images, "opened", fail)

    proof = made(ready, Wish(level=1))

    assert proof.state == State.NOT_POSSIBLE
    assert "nobody foresaw" in proof.reason


def test_retention_knows_what_is_proven(ready: Provable) -> None:
    Policy.objects.filter(pk=ready.policy.pk).update(keep_last=1)
    ready.policy.refresh_from_db()

    made(ready, Wish(level=0))
    assert not planning.of_policy(ready.policy)[0].point.proven
    made(ready, Wish(level=1))
    assert planning.of_policy(ready.policy)[0].point.proven
    ready.images.fails[ready.snapshot] = ImageDamagedError("It is damaged.")
    made(ready, Wish(level=1))
    assert not planning.of_policy(ready.policy)[0].point.proven


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(level=7), "no level 7"),
        (Wish(level=2), "none is named"),
        (Wish(level=2, recipe="oracle"), "no recipe 'oracle'"),
        (Wish(level=0, snapshot="snap-0"), "has no snapshot snap-0"),
    ],
)
def test_what_makes_no_sense_is_refused(wish: Wish, words: str, ready: Provable) -> None:
    with pytest.raises(RefusedError, match=words):
        asking.ask(ready.run, wish, by="alice1")

    assert not Proof.objects.exists()


def test_a_run_is_proven_once_at_a_time_and_by_those_who_may(ready: Provable) -> None:
    asking.ask(ready.run, Wish(level=0), by="alice1", person=ready.policy.owner)

    with pytest.raises(RefusedError, match="already"):
        asking.ask(ready.run, Wish(level=0), by="alice1")
    stranger = factories.UserFactory.create(username="charlie")
    with pytest.raises(RefusedError, match="not allowed"):
        asking.ask(ready.run, Wish(level=0), by="charlie", person=stranger)
    assert Proof.objects.count() == 1


def test_a_policy_says_how_far_its_proofs_go(ready: Provable) -> None:
    Policy.objects.filter(pk=ready.policy.pk).update(proof_level=3, proof_recipe="mariadb")
    ready.run.refresh_from_db()

    proof = asking.ask(ready.run, Wish(), by="")

    assert (proof.level, proof.recipe) == (Level.AGREES, "mariadb")
    assert proof.next_at <= clock.now() + timedelta(seconds=1)
