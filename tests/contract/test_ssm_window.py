"""Windows over SSM: the runner, its adapter, the wrapper, and agents that behave as on AWS."""

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from n2wbackup.demo.aws import SimulatedAws
from policies.adapters.clients import Clients
from policies.adapters.ssm import SsmCommands
from policies.ports import Credentials
from scripts_admin.runners import ssm, ssm_texts
from scripts_admin.runners.ssm import Fleet, Lost, Step
from scripts_admin.runners.words import After, Before, By, Over, Ready, Refused, Thawing, Word
from tests.contract.aws_clients import ssm as ssm_client
from tests.contract.clouds import REGION
from tests.contract.test_simulated_aws import wait_until
from tests.ground import far_side

W = TypeVar("W")


class Ground:
    """Instances that share a run, and what was heard from each."""

    def __init__(self, aws: SimulatedAws, folder: Path) -> None:
        self.aws, self.folder = aws, folder
        self.order = replace(
            far_side.order(
                'echo "before $N2W_INSTANCE_ID" >>"$HOME/ledger"; . "$HOME/more"',
                'echo "after $1 $N2W_INSTANCE_ID" >>"$HOME/ledger"; echo thawed',
            ),
            nonce=secrets.token_hex(16),
            max_freeze=120.0,
        )
        self.fleet = Fleet(
            SsmCommands(Clients(Credentials()), REGION), self.order.nonce, "n2wbackup test"
        )
        self.words: dict[tuple[str, Step], list[Word]] = {}
        self.lost: dict[tuple[str, Step], str] = {}

    @classmethod
    @contextmanager
    def made(cls, aws: SimulatedAws, folder: Path) -> Iterator["Ground"]:
        """Make a ground, and leave nothing of its run."""
        found = cls(aws, folder)
        with far_side.ended(found.order, -1):
            yield found
        for base in ("/dev/shm", "/run"):
            for place in Path(base).glob(f"n2w-{found.order.nonce}*"):
                shutil.rmtree(place)

    def instance(self, more: str = "true") -> str:
        """Add an instance; its before also does `more`."""
        place = self.folder / secrets.token_hex(4)
        place.mkdir()
        (place / "more").write_text(f"{more}\n")
        made = self.aws.add_instance(REGION, folder=place).instance_id
        (self.folder / made).symlink_to(place)
        return made

    def arm(self, *ids: str) -> None:
        self.fleet.arm(dict.fromkeys(ids, ssm_texts.arming(self.order)))

    def thaw(self, *ids: str, argument: str = "1") -> None:
        text = ssm_texts.thawing(self.order, "1" if argument == "1" else "0")
        self.fleet.thaw(dict.fromkeys(ids, text))

    def hears(self, done: Callable[[], object]) -> None:
        """Listen until that is so."""

        def look() -> bool:
            for event in self.fleet.look():
                key = (event.instance, event.step)
                if isinstance(event, Lost):
                    self.lost[key] = event.why
                else:
                    self.words.setdefault(key, []).append(event.word)
            return bool(done())

        wait_until(look)

    def said(self, instance: str, kind: type[W], step: Step = Step.AFTER) -> W | None:
        found = [each for each in self.words.get((instance, step), []) if isinstance(each, kind)]
        return found[0] if found else None

    def ended(self, instance: str) -> bool:
        """Tell whether B has said how it ended there."""
        return bool(self.said(instance, Over) or self.said(instance, After))

    def is_not_frozen(self, instance: str) -> bool:
        """Tell whether before never ran there, or after 0 ran behind it."""
        lines = self.ledger(instance)
        return not lines or lines[-1] == f"after 0 {instance}"

    def ledger(self, instance: str) -> list[str]:
        path = self.folder / instance / "ledger"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def ground(aws: SimulatedAws, tmp_path: Path) -> Iterator[Ground]:
    with Ground.made(aws, tmp_path) as made:
        yield made


def test_one_text_freezes_and_thaws_several_instances(ground: Ground, aws: SimulatedAws) -> None:
    # A process that before leaves behind holds a lock, its output and the group of nobody.
    ids = [ground.instance("setsid sleep 1000 & echo $! >$HOME/holder") for _ in range(3)]
    ground.arm(*ids)
    ground.hears(lambda: all(ground.said(each, Before, Step.BEFORE) for each in ids))
    for each in ids:
        before = ground.said(each, Before, Step.BEFORE)
        assert before is not None
        assert before.code == 0
        assert ground.ledger(each) == [f"before {each}"]
    assert len(aws.calls("SendCommand")) == 1
    ground.thaw(*ids)
    ground.hears(lambda: all(ground.said(each, Over) for each in ids))
    assert len(aws.calls("SendCommand")) == 2
    for each in ids:
        thawing = ground.said(each, Thawing)
        assert thawing is not None
        assert (thawing.by, thawing.argument) == (By.WORKER, "1")
        assert ground.ledger(each) == [f"before {each}", f"after 1 {each}"]
        outputs = {(out.phase, out.stream): out.head for out in ground.fleet.outputs(each)}
        assert outputs["after", "stdout"] == b"thawed\n"
    assert aws.calls("CancelCommand") == []
    assert ground.lost == {}


def test_one_of_each_kind_of_trouble_and_the_others_are_thawed(
    ground: Ground, aws: SimulatedAws
) -> None:
    fine, failing, cut_off, unknown = (
        ground.instance(),
        ground.instance("exit 3"),
        ground.instance(),
        ground.instance(),
    )
    aws.set_agent(unknown, "lost")  # before A
    ids = (fine, failing, cut_off, unknown)
    ground.arm(*ids)
    ground.hears(lambda: all(ground.said(each, Before, Step.BEFORE) for each in ids[:3]))
    assert (ground.said(failing, Before, Step.BEFORE) or Before(0, 0)).code == 3
    aws.set_agent(cut_off, "lost")  # between A and B
    ground.thaw(fine, argument="1")
    ground.thaw(failing, cut_off, unknown, argument="0")
    ground.hears(lambda: all(ground.said(each, Over) for each in (fine, failing)))
    assert ground.ledger(fine)[-1] == f"after 1 {fine}"
    assert ground.ledger(failing)[-1] == f"after 0 {failing}"
    assert len(ground.ledger(cut_off)) == 1
    for each in (cut_off, unknown):
        aws.set_agent(each, "online")
    ground.hears(lambda: all(ground.ended(each) for each in ids))
    assert ground.ledger(cut_off)[-1] == f"after 0 {cut_off}"
    assert ground.is_not_frozen(unknown)


def test_whichever_of_a_and_b_comes_first_nothing_stays_frozen(
    ground: Ground, aws: SimulatedAws
) -> None:
    ids = [ground.instance() for _ in range(5)]
    for each in ids:
        aws.set_agent(each, "lost")
    ground.arm(*ids)
    ground.thaw(*ids, argument="0")
    for each in ids:
        aws.set_agent(each, "online")
    ground.hears(lambda: all(ground.ended(each) for each in ids))
    assert [each for each in ids if not ground.is_not_frozen(each)] == []


def test_a_late_a_finds_the_tombstone_of_b(ground: Ground, aws: SimulatedAws) -> None:
    one = ground.instance()
    aws.delay_commands(one, 3.0)
    ground.arm(one)
    aws.delay_commands(one, 0.0)
    ground.thaw(one, argument="0")
    ground.hears(lambda: ground.said(one, Over))
    assert (ground.said(one, Over) or Over(By.WORKER)).by == By.NEVER
    ground.hears(lambda: ground.said(one, Refused, Step.BEFORE))
    assert ground.ledger(one) == []


def test_before_goes_on_when_somebody_cancels_a_and_b_thaws_it(
    ground: Ground, aws: SimulatedAws
) -> None:
    one = ground.instance("touch $HOME/began; while [ ! -e $HOME/go ]; do sleep 0.05; done")
    ground.arm(one)
    wait_until((ground.folder / one / "began").exists)
    client = ssm_client(aws, REGION)
    wait_until(
        lambda: bool(client.list_command_invocations()["CommandInvocations"])
    )  # they are late
    (sent,) = client.list_command_invocations()["CommandInvocations"]
    client.cancel_command(CommandId=sent["CommandId"])
    ground.hears(lambda: (one, Step.BEFORE) in ground.lost)
    assert "Cancelled" in ground.lost[one, Step.BEFORE]
    assert ground.ledger(one) == [f"before {one}"]
    ground.thaw(one, argument="0")
    ground.hears(lambda: ground.said(one, Thawing))
    ground.hears(lambda: ground.said(one, After))
    assert ground.ledger(one)[:2] == [f"before {one}", f"after 0 {one}"]


def test_an_instance_thaws_itself_at_its_deadline_and_a_late_b_is_told(
    ground: Ground, aws: SimulatedAws
) -> None:
    ground.order = replace(ground.order, max_freeze=1.0)
    one = ground.instance()
    ground.arm(one)
    ground.hears(lambda: ground.said(one, Before, Step.BEFORE))
    wait_until(lambda: ground.ledger(one)[-1:] == [f"after 0 {one}"])
    ground.thaw(one, argument="1")
    ground.hears(lambda: ground.said(one, Over))
    assert (ground.said(one, Thawing) or Thawing(By.WORKER, "1", 0)).by == By.DEADLINE
    assert ground.ledger(one) == [f"before {one}", f"after 0 {one}"]


def test_a_late_visit_is_told_what_became_of_a_run_and_thaws_what_nobody_thawed(
    ground: Ground, aws: SimulatedAws
) -> None:
    ground.order = replace(ground.order, max_freeze=1.0)
    one, other = ground.instance(), ground.instance()
    ground.arm(one)
    ground.hears(lambda: ground.said(one, Before, Step.BEFORE))
    wait_until(lambda: ground.ledger(one)[-1:] == [f"after 0 {one}"])
    client, nonce = SsmCommands(Clients(Credentials()), REGION), ground.order.nonce
    text = ssm_texts.visiting(ground.order)
    said = ssm.visit(client, nonce, one, text, within_seconds=60)
    assert [word.by for word in said if isinstance(word, Over)] == [By.DEADLINE]
    assert ground.ledger(one) == [f"before {one}", f"after 0 {one}"]
    # Where nothing of the run is left, before may have run: after 0 does no harm.
    said = ssm.visit(client, nonce, other, text, within_seconds=60)
    (thawing,) = [word for word in said if isinstance(word, Thawing)]
    assert (thawing.by != By.WORKER, thawing.argument) == (True, "0")
    assert ground.ledger(other) == [f"after 0 {other}"]
    aws.set_agent(other, "lost")
    assert ssm.visit(client, nonce, other, text, within_seconds=0.5) == []


def test_a_second_b_finds_that_all_is_over(ground: Ground, aws: SimulatedAws) -> None:
    one = ground.instance()
    ground.arm(one)
    ground.hears(lambda: ground.said(one, Before, Step.BEFORE))
    assert ground.said(one, Ready, Step.BEFORE) is not None
    aws.fault("SendCommand", "lost_answer")  # it is sent all the same
    ground.thaw(one)
    ground.hears(lambda: ground.said(one, Over))
    assert len(aws.calls("SendCommand")) == 3
    assert ground.ledger(one) == [f"before {one}", f"after 1 {one}"]


def test_an_agent_whose_folder_is_frozen_never_starts_b_and_the_deadline_thaws(
    ground: Ground, aws: SimulatedAws
) -> None:
    ground.order = replace(ground.order, max_freeze=2.0)
    one = ground.instance()
    ground.arm(one)
    ground.hears(lambda: ground.said(one, Before, Step.BEFORE))
    aws.set_agent(one, "frozen")
    ground.thaw(one)
    wait_until(lambda: ground.ledger(one)[-1:] == [f"after 0 {one}"])
    assert ground.said(one, Thawing) is None
    aws.set_agent(one, "online")
    ground.hears(lambda: ground.said(one, Over))
    assert (ground.said(one, Thawing) or Thawing(By.WORKER, "1", 0)).by == By.DEADLINE
