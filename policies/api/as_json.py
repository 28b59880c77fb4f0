"""A run, a policy and the test of an account as JSON, for commands and pages. Times are ISO 8601 in UTC."""

from datetime import UTC, datetime
from typing import Any

from policies.models import Policy, PolicyTarget, Run, RunSnapshot, RunTarget, Schedule
from policies.selectors import runs
from policies.selectors.runs import PhaseRow
from policies.services.due import outlook
from policies.services.entry import probing

Json = dict[str, Any]


def run(found: Run) -> Json:
    """Return a run, its rows prefetched as `selectors.whole_runs` does, as plain values."""
    targets = list(found.targets.all())
    return {
        "id": str(found.pk),
        "policy": found.label,
        "trigger": found.trigger,
        "attempt": found.attempt,
        "state": found.state,
        "consistency": found.consistency,
        "reason": found.reason,
        "scheduled_for": moment(found.scheduled_for),
        "due_count": found.due_count,
        "due_until": moment(found.due_until),
        "started_at": moment(found.started_at),
        "fired_at": moment(found.fired_at),
        "ended_at": moment(found.ended_at),
        "retry_at": moment(found.retry_at),
        "freeze_seconds": found.freeze_seconds,
        "hold_seconds": found.hold_seconds,
        "phases": {row.phase: _phase(row) for row in runs.phases(found)},
        "targets": [_target(target) for target in targets],
        "snapshots": [_snapshot(s, target) for target in targets for s in target.snapshots.all()],
        "events": [
            {"at": moment(event.at), "state": event.state, "text": event.text}
            for event in found.events.all()
        ],
    }


def _phase(row: PhaseRow) -> Json:
    return {
        "outcome": row.outcome,
        "exit_code": row.exit_code,
        "argument": row.argument,
        "script": row.script,
        "started_at": moment(row.started_at),
        "ended_at": moment(row.ended_at),
        "stdout": row.stdout,
        "stderr": row.stderr,
    }


def _target(target: RunTarget) -> Json:
    return {
        "instance": target.instance_id,
        "volume": target.volume_id,
        "region": target.region,
        "state": target.state,
        "consistency": target.consistency,
        "reason": target.reason,
        "fired_at": moment(target.fired_at),
        "phases": {},
    }


def _snapshot(snapshot: RunSnapshot, target: RunTarget) -> Json:
    return {
        "id": snapshot.snapshot_id,
        "volume": snapshot.volume_id,
        "instance": target.instance_id,
        "region": target.region,
        "state": snapshot.state,
        "progress": snapshot.progress,
    }


def policy(found: Policy, ahead: outlook.Outlook) -> Json:
    """Return a policy, its rows read as `selectors.whole_policies` does, and what is to come, as plain values."""
    return {
        "policy": f"{found.owner.username}/{found.name}",
        "enabled": found.enabled,
        "account": found.account.name,
        "targets": [_planned(target) for target in found.targets.all()],
        "schedules": [schedule(row) for row in found.schedules.all()],
        "retries": {"count": found.retry_count, "minutes": found.retry_minutes},
        "next_run_times": [moment(at) for at in ahead.times],
        "next_run_note": ahead.note,
        "last_run": _last(found.last_run),
        "last_success_at": moment(found.last_success_at),
        "may_be_frozen_since": moment(found.may_be_frozen_since),
    }


def schedule(found: Schedule) -> Json:
    """Return when a schedule is due as plain values; `when` is in words."""
    return {
        "name": found.name,
        "when": outlook.in_words(found),
        "timezone": found.timezone,
        "disabled": list(found.disabled),
    }


def _planned(target: PolicyTarget) -> Json:
    return {
        "instance": target.instance_id,
        "volume": target.volume_id,
        "region": target.region,
        "exclude_boot_volume": target.exclude_boot_volume,
        "exclude_volumes": list(target.exclude_volume_ids),
    }


def _last(found: Run | None) -> Json | None:
    if found is None:
        return None
    return {
        "id": str(found.pk),
        "trigger": found.trigger,
        "attempt": found.attempt,
        "state": found.state,
        "consistency": found.consistency,
        "reason": found.reason,
        "started_at": moment(found.started_at),
        "ended_at": moment(found.ended_at),
        "retry_at": moment(found.retry_at),
    }


def probe(found: probing.Probe) -> Json:
    """Return what became of an account's test as plain values."""
    return {
        "account": found.account,
        "auth": found.auth,
        "external_id": found.external_id,
        "aws_account_id": found.aws_account_id,
        "arn": found.arn,
        "ok": found.is_good,
        "permissions": [
            {
                "permission": each.permission,
                "region": each.region,
                "result": str(each.result),
                "sentence": each.sentence,
            }
            for each in found.answers
        ],
    }


def moment(at: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds") if at else None
