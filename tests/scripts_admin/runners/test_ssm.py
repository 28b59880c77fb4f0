"""A window over SSM: A is sent once, B whatever became of it, and one question serves all."""

import base64
import random
import subprocess

import pytest

from scripts_admin.runners import far, ssm, ssm_texts
from scripts_admin.runners.ssm import AnswerLostError, Fleet, Lost, NotSentError, Said, Step
from scripts_admin.runners.words import After, Before, By, Over, Refused, Thawing
from tests.ground.far_side import script as far_script
from tests.scripts_admin.runners.fake_ssm import Clock, FakeSsm

NONCE = "f00d"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client() -> FakeSsm:
    return FakeSsm()


@pytest.fixture
def fleet(client: FakeSsm, clock: Clock) -> Fleet:
    return Fleet(client, NONCE, "n2wbackup", clock, clock.sleep)


def said(*lines: str, instance: str = "i-1") -> str:
    return "".join(f"n2w1 {NONCE}{instance} {line}\n" for line in lines)


def script(text: str) -> far.Carried:
    return far_script("before_shop@all.sh", text)


def lost(fleet: Fleet) -> list[tuple[str, Step]]:
    return [(each.instance, each.step) for each in fleet.look() if isinstance(each, Lost)]


def test_instances_with_the_same_text_share_calls_of_fifty(fleet: Fleet, client: FakeSsm) -> None:
    fleet.arm({f"i-{n}": "same" for n in range(60)} | {"i-own": "its own"})
    assert [(len(ids), text) for ids, text in client.sent] == [
        (50, "same"),
        (10, "same"),
        (1, "its own"),
    ]
    fleet.look()
    assert client.looks == [("c1", "c2", "c3")]


def test_what_an_instance_says_is_told_once_and_noise_is_not(fleet: Fleet, client: FakeSsm) -> None:
    fleet.arm({"i-1": "a", "i-2": "a"})
    assert fleet.look() == []
    client.end("c1", "i-1", f"motd\n{said('before 0 17.05')}n2w1 other before 1 2\n")
    assert fleet.look() == [Said("i-1", Step.BEFORE, Before(0, 17.05))]
    assert fleet.look() == []
    client.end("c1", "i-2", said("before 3 17.50", instance="i-2"))
    assert fleet.look() == [Said("i-2", Step.BEFORE, Before(3, 17.5))]
    assert fleet.pause() is None


def test_a_line_that_ssm_has_cut_is_no_word(fleet: Fleet, client: FakeSsm) -> None:
    fleet.arm({"i-1": "a"})
    cut = "\n---Output truncated---"
    client.end("c1", "i-1", f"{said('before 0 17.05')}n2w1 {NONCE}i-1 after 1 0 worker{cut}")
    assert fleet.look() == [Said("i-1", Step.BEFORE, Before(0, 17.05))]
    fleet.thaw({"i-1": "b"})
    client.end("c2", "i-1", f"n2w1 {NONCE}i-1 thawing worker 1 17.0{cut}")
    assert lost(fleet) == [("i-1", Step.AFTER)]


def test_looks_are_close_together_at_first(fleet: Fleet, client: FakeSsm, clock: Clock) -> None:
    assert fleet.pause() is None
    fleet.arm({"i-1": "a"})
    found = []
    start = clock.now
    while clock.now < start + 14:
        pause = fleet.pause()
        assert pause is not None
        found.append(round(pause, 3))
        clock.now += pause
    assert found[0] == 0.15
    assert set(found[1:15]) == {0.2}
    assert set(found[18:28]) == {0.5}
    assert found[-1] == 1.0


def test_one_that_hangs_slows_only_itself_when_b_is_sent(
    fleet: Fleet, client: FakeSsm, clock: Clock
) -> None:
    fleet.arm({"i-1": "a", "i-2": "a"})
    clock.now += 12
    assert fleet.pause() == 1.0
    fleet.thaw({"i-1": "b"})
    assert fleet.pause() == pytest.approx(0.15)


def test_an_a_that_no_agent_takes_is_lost_after_ten_seconds_once(
    fleet: Fleet, client: FakeSsm, clock: Clock
) -> None:
    fleet.arm({"i-1": "a", "i-2": "a", "i-3": "a"})
    client.begin("c1", "i-2")
    clock.now += 9.9
    assert fleet.look() == []
    clock.now += 0.1
    assert lost(fleet) == [("i-1", Step.BEFORE), ("i-3", Step.BEFORE)]
    assert fleet.look() == []
    client.end("c1", "i-1", said("refused tombstone"))
    assert fleet.look() == [Said("i-1", Step.BEFORE, Refused("tombstone"))]


def test_an_a_that_ssm_does_not_list_is_lost(fleet: Fleet, client: FakeSsm, clock: Clock) -> None:
    client.hidden = True
    fleet.arm({"i-1": "a"})
    clock.now += 10
    assert lost(fleet) == [("i-1", Step.BEFORE)]


@pytest.mark.parametrize("status", ["Cancelled", "TimedOut", "Failed", "Success"])
def test_a_command_that_ended_without_a_word_is_lost_and_nothing_is_cancelled(
    fleet: Fleet, client: FakeSsm, status: str
) -> None:
    fleet.arm({"i-1": "a"})
    client.end("c1", "i-1", said("ready 5 boot 1.00 /run/n2w-x"), status)
    _, found = fleet.look()
    assert isinstance(found, Lost)
    assert status in found.why
    assert not hasattr(ssm.Client, "cancel")


def test_instances_that_ssm_does_not_manage_keep_the_others_from_nothing(
    fleet: Fleet, client: FakeSsm
) -> None:
    client.refusals = [NotSentError("not managed", ["i-2"])]
    fleet.arm({"i-1": "a", "i-2": "a", "i-3": "a"})
    assert client.sent == [(("i-1", "i-3"), "a")]
    assert lost(fleet) == [("i-2", Step.BEFORE)]


def test_before_is_tried_again_only_when_it_was_certainly_not_sent(
    fleet: Fleet, client: FakeSsm
) -> None:
    client.refusals = [NotSentError("rate", again=True)]
    fleet.arm({"i-1": "a"})
    assert len(client.sent) == 1
    client.refusals = [AnswerLostError("lost")]
    fleet.arm({"i-2": "a"})
    assert len(client.sent) == 1
    assert lost(fleet) == [("i-2", Step.BEFORE)]
    client.refusals = [NotSentError("denied")]
    fleet.arm({"i-3": "a"})
    assert len(client.sent) == 1
    assert lost(fleet) == [("i-3", Step.BEFORE)]


@pytest.mark.parametrize(
    "refusal", [NotSentError("rate", again=True), NotSentError("denied"), AnswerLostError("lost")]
)
def test_b_is_sent_until_aws_takes_it(
    fleet: Fleet, client: FakeSsm, clock: Clock, refusal: Exception
) -> None:
    client.refusals = [refusal] * 3
    fleet.thaw({"i-1": "b"})
    assert lost(fleet) == [("i-1", Step.AFTER)]
    for _ in range(3):
        pause = fleet.pause()
        assert pause is not None
        assert pause <= 1.0
        clock.now += pause
        assert fleet.look() == []
    assert client.sent == [(("i-1",), "b")]


def test_one_instance_that_cannot_get_b_keeps_none_of_the_others_waiting(
    fleet: Fleet, client: FakeSsm, clock: Clock
) -> None:
    client.refusals = [NotSentError("not managed", ["i-2"])]
    fleet.thaw({"i-1": "b", "i-2": "b", "i-3": "b"})
    assert client.sent == [(("i-1", "i-3"), "b")]
    clock.now += 1
    fleet.look()
    assert client.sent[1:] == [(("i-2",), "b")]


def test_b_is_sent_whatever_became_of_a(fleet: Fleet, client: FakeSsm) -> None:
    client.refusals = [NotSentError("not managed", ["i-1"])]
    fleet.arm({"i-1": "a", "i-2": "a"})
    client.end("c1", "i-2", "", "Cancelled")
    fleet.look()
    fleet.thaw({"i-1": "b0", "i-2": "b0"})
    assert client.sent[-1] == (("i-1", "i-2"), "b0")
    client.end("c2", "i-1", said("thawing worker 0 20.00", "after 1 0 worker", "over worker"))
    assert [each.word for each in fleet.look() if isinstance(each, Said)] == [
        Thawing(By.WORKER, "0", 20.0),
        After(1, 0, By.WORKER),
        Over(By.WORKER),
    ]


def test_a_question_that_fails_is_asked_again(fleet: Fleet, client: FakeSsm) -> None:
    fleet.arm({"i-1": "a"})
    client.troubles = [RuntimeError("throttled")]
    client.end("c1", "i-1", said("before 0 1.00"))
    assert fleet.look() == []
    assert fleet.look() == [Said("i-1", Step.BEFORE, Before(0, 1.0))]


def test_outputs_are_read_from_b_after_the_thaw_and_tell_where_they_are_cut(
    fleet: Fleet, client: FakeSsm
) -> None:
    assert fleet.outputs("i-1") == []
    fleet.thaw({"i-1": "b"})
    text = said("over worker", "out before.1.stdout 6 3 70000") + "abcxyz" + said("out end 0 0 0")
    client.end("c1", "i-1", text)
    assert [each.word for each in fleet.look() if isinstance(each, Said)] == [Over(By.WORKER)]
    first, end = fleet.outputs("i-1")
    assert (first.phase, first.head, first.cut, first.tail) == ("before", b"abc", 70000, b"xyz")
    assert end.phase == "end"
    client.end("c1", "i-1", text[: text.index("xyz")])
    assert fleet.outputs("i-1") == []


def test_the_texts_of_both_commands_hold_nothing_that_ssm_would_replace_or_that_differs() -> None:
    order = far.Order(
        "f00d" * 8, before=script("echo '{{ssm:/x}}'"), after=script("echo $N2W_INSTANCE_ID")
    )
    texts = [ssm_texts.arming(order), ssm_texts.thawing(order, "1")]
    for text in texts:
        assert "{{" not in text
        assert len(text) < ssm_texts.MOST_BYTES
        assert subprocess.run(["sh", "-n"], input=text.encode(), check=True).returncode == 0
    assert ssm_texts.arming(order) == texts[0]


def test_scripts_that_ssm_does_not_take_are_refused_with_a_sentence() -> None:
    dense = base64.b64encode(random.Random(4).randbytes(60_000)).decode()  # no packing helps
    order = far.Order("f00d" * 8, before=script(f"# {dense}"), after=script("true"))
    with pytest.raises(far.UnfitError, match="KiB too long for SSM, which takes 58 KiB"):
        ssm_texts.arming(order)
    ssm_texts.thawing(order, "0")


def test_long_scripts_of_words_are_packed() -> None:
    plain = far.Order("f00d" * 8, before=script("true"), after=script("true"))
    long = far.Order("f00d" * 8, before=script("true\n" * 10_000), after=script("true"))

    assert "gzip" not in ssm_texts.arming(plain)
    assert "gzip" in ssm_texts.arming(long)
    assert len(ssm_texts.arming(long)) < ssm_texts.MOST_BYTES
