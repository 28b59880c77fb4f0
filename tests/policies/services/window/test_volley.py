"""What stands around the sending of a run's calls: they are prepared before the window, and read after the thaw."""

import pytest

from policies.domain.errors import AnswerLostError, CredentialsError
from policies.domain.runs.sequence import State
from policies.models import RunTarget
from policies.ports import Aimed, Answer, FireRequest, Snapshot
from tests.policies.services.backup import Backup, snapshots_of, target


def test_calls_are_prepared_before_the_window_and_answers_are_read_after_the_thaw(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    backup.add_instance()
    aim, marks = backup.cloud.aim, dict[str, list[list[str]]]()

    def mark(what: str) -> None:
        marks.setdefault(what, []).append(backup.marks)

    def aim_and_mark(request: FireRequest) -> Aimed:
        mark("prepared")
        send = aim(request)

        def send_and_mark(seconds: float) -> Answer:
            answer = send(seconds)
            mark("sent")

            def read() -> list[Snapshot]:
                mark("read")
                return answer()

            return read

        return send_and_mark

    monkeypatch.setattr(backup.cloud, "aim", aim_and_mark)

    run = backup.window()

    assert marks == {
        "prepared": [[], []],
        "sent": [["before"], ["before"]],
        "read": [["before", "after 1"], ["before", "after 1"]],
    }
    assert len(snapshots_of(run)) == 4
    assert run.state == State.WAITING


def test_an_answer_that_cannot_be_read_leaves_the_others_as_they_are(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()
    backup.add_instance()
    aim = backup.cloud.aim

    def aim_unreadably(request: FireRequest) -> Aimed:
        send = aim(request)

        def lost() -> list[Snapshot]:
            message = "Its answer could not be read."
            raise AnswerLostError(message)

        def send_unreadably(seconds: float) -> Answer:
            answer = send(seconds)
            return lost if request.instance_id == backup.instance.instance_id else answer

        return send_unreadably

    monkeypatch.setattr(backup.cloud, "aim", aim_unreadably)

    run = backup.window()

    assert backup.marks == ["before", "after 1"]
    states = {row.instance_id: row.state for row in run.targets.all()}
    assert states.pop(backup.instance.instance_id) == RunTarget.State.UNKNOWN
    assert set(states.values()) == {RunTarget.State.FIRED}
    assert len(snapshots_of(run)) == 2


def test_what_cannot_be_prepared_is_told_by_the_call_and_thawed(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.scripts()

    def refuse(_: FireRequest) -> Aimed:
        message = "There are no usable AWS credentials."
        raise CredentialsError(message)

    monkeypatch.setattr(backup.cloud, "aim", refuse)

    run = backup.window()

    assert backup.marks == ["before", "after 1"]
    assert target(run).state == RunTarget.State.REFUSED
    assert "There are no usable AWS credentials." in target(run).reason
