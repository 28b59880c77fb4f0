"""A run as JSON: its keys must not change."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from policies.api import as_json
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.domain.schedules.reckoning import Span
from policies.management import output
from policies.models import Run
from policies.selectors import labels
from policies.services import runs
from tests.policies.services.backup import Backup

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
RUN = [
    "id", "policy", "trigger", "attempt", "state", "consistency", "success_requires",
    "reason", "scheduled_for", "due_count", "due_until", "started_at", "fired_at", "ended_at",
    "retry_at", "late_seconds", "freeze_seconds", "hold_seconds", "outputs_deleted_at",
    "events_deleted_at", "thaw_by", "phases", "left_behind", "targets", "snapshots", "retention", "proofs", "events",
]  # fmt: skip
PHASE = [
    "outcome", "exit_code", "argument", "script", "script_sha256", "script_doubt",
    "started_at", "ended_at", "stdout", "stderr",
]  # fmt: skip
TARGET = [
    "instance", "volume", "region", "state", "consistency", "reason", "fired_at",
    "remote", "thaw_by", "thaw_began_at", "thawed_at", "phases",
]  # fmt: skip
SNAPSHOT = ["id", "volume", "device", "size_gib", "instance", "region", "state", "progress"]
EVENT = ["at", "state", "text"]


def test_a_whole_run_has_the_shape_of_the_contract(backup: Backup) -> None:
    backup.scripts(before="echo hello; echo oh >&2")
    due = datetime(2026, 12, 1, 2, tzinfo=UTC)

    report = backup.report(backup.to_end(backup.start(Trigger.SCHEDULE, scheduled_for=due)))

    assert list(report) == RUN
    assert list(report["phases"]) == ["before", "after", "complete"]
    assert all(list(phase) == PHASE for phase in report["phases"].values())
    assert [list(target) for target in report["targets"]] == [TARGET]
    assert [list(snapshot) for snapshot in report["snapshots"]] == [SNAPSHOT] * 2
    assert all(list(event) == EVENT for event in report["events"])
    assert (report["policy"], report["trigger"]) == ("alice/policy1", "schedule")
    assert report["scheduled_for"] == "2026-12-01T02:00:00.000000+00:00"
    before = report["phases"]["before"]
    assert (before["stdout"], before["stderr"], before["exit_code"]) == ("hello\n", "oh\n", 0)
    assert (before["argument"], before["script"]) == ("", "before_policy1.sh")
    assert report["phases"]["after"]["argument"] == "1"
    assert report["retention"] == {
        "keep": True,
        "reasons": ["the policy keeps every restore point"],
        "until": None,
    }
    assert json.loads(json.dumps(report)) == report


def test_every_text_is_harmless_for_whoever_prints_it(backup: Backup) -> None:
    backup.scripts(before=r"printf 'one\n\033[2J\302\2332J\342\200\256'; printf '\377' >&2")

    before = backup.report(backup.to_end())["phases"]["before"]

    assert before["stdout"] == "one\n" + r"\x1b[2J\x9b2J\u202e"
    assert before["stderr"] == "\N{REPLACEMENT CHARACTER}"


def times(found: Any) -> list[Any]:
    if isinstance(found, dict):
        own = [found[k] for k in found if re.fullmatch("at|.*_at|.*_for", k)]
        return [*own, *(t for value in found.values() for t in times(value))]
    return [t for each in found for t in times(each)] if isinstance(found, list) else []


def test_every_time_is_utc_with_microseconds(backup: Backup) -> None:
    backup.scripts()

    found = [at for at in times(backup.report(backup.to_end())) if at is not None]

    assert len(found) > 15
    assert all(TIME.fullmatch(at) for at in found)
    assert as_json.moment(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000000+00:00"


def test_a_run_that_has_only_been_queued_has_the_same_shape(backup: Backup) -> None:
    report = backup.report(backup.start())

    assert list(report) == RUN
    assert {phase["outcome"] for phase in report["phases"].values()} == {"not_run"}
    assert (report["targets"], report["snapshots"], report["ended_at"]) == ([], [], None)
    assert (report["state"], report["consistency"]) == ("queued", "pending")


def test_what_was_missed_says_for_how_many_due_times_it_stands(backup: Backup) -> None:
    first, last = (datetime(2026, 12, day, 2, tzinfo=UTC) for day in (1, 3))
    runs.enter_due(backup.policy, State.MISSED, Span(first, last, 3), "no scheduler was running")

    report = backup.report(Run.objects.get())

    assert (report["state"], report["attempt"], report["due_count"]) == ("missed", 1, 3)
    assert report["scheduled_for"] == "2026-12-01T02:00:00.000000+00:00"
    assert report["due_until"] == "2026-12-03T02:00:00.000000+00:00"
    assert report["retry_at"] is None
    until = "3 times until 2026-12-03T02:00:00.000000+00:00"
    assert f"due          2026-12-01T02:00:00.000000+00:00, {until}" in output.report(report)


def test_a_run_that_is_to_be_made_again_says_when(backup: Backup) -> None:
    run = backup.start()
    Run.objects.update(attempt=2, retry_at=datetime(2026, 12, 1, 2, 10, tzinfo=UTC))

    report = backup.report(run)

    assert (report["attempt"], report["retry_at"]) == (2, "2026-12-01T02:10:00.000000+00:00")
    said = output.report(report)
    assert "attempt      2" in said
    assert "retry at     2026-12-01T02:10:00.000000+00:00" in said


def test_a_phase_is_shown_as_its_first_attempt_went(backup: Backup) -> None:
    backup.scripts(after="[ $N2W_ATTEMPT = 2 ]")
    run = backup.window()
    while backup.thaw(run).state == "thawing":
        pass

    assert backup.report(run)["phases"]["after"]["outcome"] == "failed"


def test_no_secret_of_the_account_is_in_it(backup: Backup) -> None:
    account = backup.policy.account
    secret = account.secret_access_key
    backup.scripts(before=f"echo {secret}; echo {account.access_key_id} >&2")

    text = json.dumps(backup.report(backup.to_end()))

    assert "[masked]" in text
    assert secret not in text
    assert account.access_key_id not in text


def test_events_come_in_the_order_in_which_they_happened(backup: Backup) -> None:
    backup.scripts()

    found = [event["at"] for event in backup.report(backup.to_end())["events"]]

    assert found == sorted(found)


def test_a_run_is_read_in_a_fixed_number_of_queries(
    backup: Backup, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        backup.add_instance()
    run = backup.to_end()

    with django_assert_max_num_queries(9):  # two of them for the retention, one for the proofs
        as_json.run(labels.run(str(run.pk)))
