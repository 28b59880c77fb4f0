"""First steps: names that are nearly right, lists, following a run, and a calm end by Ctrl-C."""

import json
import os
import signal
from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from policies.domain.errors import InputError
from policies.domain.runs.sequence import State
from policies.management import watching
from policies.models import Run
from policies.selectors import labels
from policies.services import operations, runs
from tests import factories
from tests.policies.services.backup import Backup

pytestmark = pytest.mark.one_database


def say(*words: str) -> str:
    said = StringIO()
    call_command(*words, stdout=said)
    return said.getvalue()


@pytest.mark.parametrize("given", ["alice/polcy1", "Alice/policy1", "policy1", "alcie/policy1"])
def test_a_policy_that_is_nearly_right_is_suggested(backup: Backup, given: str) -> None:
    with pytest.raises(InputError, match=r" Did you mean alice/policy1\?$"):
        labels.policy(given)


def test_users_and_accounts_are_suggested_too(backup: Backup) -> None:
    with pytest.raises(InputError, match=r"^There is no user alcie: .* Did you mean alice\?$"):
        labels.user("alcie")
    name = backup.policy.account.name
    with pytest.raises(InputError, match=rf"^There is no account .* Did you mean alice/{name}\?$"):
        labels.account(f"alice/{name}x")


def test_a_name_like_no_other_is_not_guessed(backup: Backup) -> None:
    with pytest.raises(InputError) as caught:
        labels.policy("zebra/q")

    assert str(caught.value) == "There is no policy zebra/q: list_policies shows all names."


def test_a_stranger_gets_no_suggestion_of_what_they_may_not_see(backup: Backup) -> None:
    with pytest.raises(InputError) as caught:
        labels.policy("alice/polcy1", viewer=factories.bob())

    assert "Did you mean" not in str(caught.value)


def test_policies_are_listed_with_their_last_run_and_their_next(backup: Backup) -> None:
    backup.scripts(before="true", after="true")
    backup.to_end(backup.start())

    line = say("list_policies").splitlines()[0]
    found = json.loads(say("list_policies", "--owner", "alice", "--json"))

    assert line.split()[:4] == ["alice/policy1", "enabled", "last", "succeeded"]
    assert line.endswith("next It follows no schedule.")
    assert [row["policy"] for row in found["policies"]] == ["alice/policy1"]
    with pytest.raises(CommandError, match="Did you mean alice"):
        say("list_policies", "--owner", "alicee")


def test_an_empty_list_says_what_to_do(db: None) -> None:
    assert say("list_policies") == (
        "There are no policies yet: enter them with apply or on the pages.\n"
    )


@pytest.mark.parametrize("limit", ["0", "-1", "abc", "9" * 30, "1.5", "٣"])
def test_a_limit_that_no_list_can_have_is_refused(db: None, limit: str) -> None:
    with pytest.raises(CommandError, match="is not a whole number from 1 to 10000"):
        say("list_runs", f"--limit={limit}")


def test_following_says_each_event_once_and_ends_with_the_run(backup: Backup) -> None:
    backup.scripts(before="true", after="true")
    run = backup.to_end(backup.start())
    said: list[str] = []

    watching.follow(run, said.append)

    assert [line.split()[1] for line in said] == [e.state for e in run.events.order_by("pk")]
    assert said[-1].endswith("ended: succeeded")


def test_waiting_prints_the_id_first_and_ctrl_c_leaves_the_run_going(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("policies.management.watching.time.sleep", interrupt)
    said = StringIO()

    with pytest.raises(SystemExit) as caught:
        call_command("run_policy", "alice/policy1", "--wait", stdout=said)

    run = Run.objects.get()
    lines = said.getvalue().splitlines()
    assert caught.value.code == 130
    assert lines[0] == f"run {run.pk}"
    assert lines[-1].startswith(f"Stopped watching; run {run.pk} goes on. Look at it with")
    assert (run.state, run.cancel_requested_at) == (State.QUEUED, None)


def test_with_json_only_the_answer_is_on_standard_output(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts(before="exit 1", after="true")
    backup.policy.skip_snapshots_when_before_fails = True
    backup.policy.save()
    out, err = StringIO(), StringIO()

    with pytest.raises(CommandError):
        call_command("run_policy", "alice/policy1", "--here", "--json", stdout=out, stderr=err)

    assert json.loads(out.getvalue())["state"] == "failed"
    assert err.getvalue() == f"run {Run.objects.get().pk}\n"


@pytest.fixture
def heeded() -> Iterator[None]:
    """Have Ctrl-C heeded also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
def test_the_first_ctrl_c_of_a_run_in_this_process_cancels_it_in_order(backup: Backup) -> None:
    backup.scripts(before="true", after="true")
    backup.script("before", f"kill -INT {os.getpid()}")
    out = StringIO()

    with pytest.raises(CommandError):
        call_command("run_policy", "alice/policy1", "--here", stdout=out)

    run = Run.objects.get()
    assert (run.state, run.cancelled_by) == (State.CANCELLED, "the command line")
    assert "Stopping: what is frozen is thawed first, then the run is cancelled." in out.getvalue()
    assert "after        succeeded" in out.getvalue()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("heeded")
def test_the_second_ctrl_c_leaves_at_once() -> None:
    said: list[str] = []
    with watching.stopping(said.append) as wish:
        signal.raise_signal(signal.SIGINT)
        assert wish.pressed()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    assert len(said) == 1


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.FROZEN, "its application is frozen now: after thaws it, and then the run ends"),
        (State.THAWING, "its application may still be frozen: after is repeated until it succeeds"),
        (State.WAITING, "it is still waiting and ends by itself"),
    ],
)
def test_cancelling_says_what_becomes_of_a_frozen_application(
    db: None, monkeypatch: pytest.MonkeyPatch, state: State, words: str
) -> None:
    run = factories.RunFactory.create(state=state)
    monkeypatch.setattr(runs, "cancel", lambda run, by: setattr(run, "cancelled_by", by))

    result = operations.only(operations.cancel([run], by=operations.COMMAND_LINE))

    assert words in result.sentence
