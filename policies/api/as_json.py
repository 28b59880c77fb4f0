"""Runs, policies and tests of accounts as JSON, for commands and pages.

Times are ISO 8601 in UTC. Every text is harmless for whoever prints it.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec
from uuid import UUID

from n2wbackup.lib import clock, terminal
from policies.domain.document import fields
from policies.domain.retention.points import Verdict
from policies.models import Policy, Proof, Run, Schedule, Trial
from policies.selectors import removals, runs, sources
from policies.selectors.runs import PhaseRow, SnapshotRow, TargetRow
from policies.selectors.servers import ServerRow
from policies.services.due import outlook, pauses
from policies.services.entry import probing
from policies.services.retention import planning
from scripts_admin.models import SshHost, SshKey

Json = dict[str, Any]
_Given = ParamSpec("_Given")


def _harmless(make: Callable[_Given, Json]) -> Callable[_Given, Json]:
    @wraps(make)
    def made(*given: _Given.args, **named: _Given.kwargs) -> Json:
        found: Json = terminal.harmless(make(*given, **named))
        return found

    return made


@_harmless
def run(found: Run, *, planned: Mapping[UUID, Verdict] | None = None) -> Json:
    """Return a run as plain values; its rows must be prefetched as by `selectors.runs.whole`.

    `planned`: what becomes of the runs of a list; without it, this is looked up.
    """
    shown = runs.detail(found, with_outputs=True)
    own = shown.run
    kept = planning.of_runs([found]) if planned is None else planned
    return {
        "id": str(own.id),
        "policy": own.label,
        "trigger": own.trigger,
        "attempt": own.attempt,
        "state": own.state,
        "consistency": own.consistency,
        "success_requires": own.success_requires or None,
        "reason": own.reason,
        "scheduled_for": moment(own.scheduled_for),
        "due_count": own.due_count,
        "due_until": moment(own.due_until),
        "started_at": moment(own.started_at),
        "fired_at": moment(own.fired_at),
        "ended_at": moment(own.ended_at),
        "retry_at": moment(own.retry_at),
        "late_seconds": own.late_seconds,
        "freeze_seconds": own.freeze_seconds,
        "hold_seconds": own.hold_seconds,
        "outputs_deleted_at": moment(own.outputs_deleted_at),
        "events_deleted_at": moment(own.events_deleted_at),
        "thaw_by": shown.thaw_by or None,
        "phases": {row.phase: _phase(row) for row in shown.phases},
        "left_behind": None if shown.left_behind is None else list(shown.left_behind),
        "targets": [_target(target) for target in shown.targets],
        "snapshots": [
            _snapshot(snapshot, target) for target in shown.targets for snapshot in target.snapshots
        ],
        "retention": _retention(found.pk, kept.get(found.pk)),
        "proofs": [_proof(each) for each in found.proofs.all()],
        "events": [
            {"at": moment(event.at), "state": event.state, "text": event.text}
            for event in shown.events
        ],
    }


def _proof(row: Proof) -> Json:
    return {
        "id": str(row.pk),
        "snapshot": row.snapshot_id,
        "source": sources.in_words(row.place) or None,
        "level": row.level,
        "state": row.state,
        "reason": row.reason,
        "seconds": row.seconds,
        "cost_usd": row.cost_usd,
        "ended_at": moment(row.ended_at),
    }


@_harmless
def proof(row: Proof) -> Json:
    """Return a proof as plain values."""
    return {
        **_proof(row),
        "run": str(row.run_id),
        "policy": row.run.label,
        "snapshots": list(row.snapshot_ids),
        "region": row.region,
        "reached": row.reached,
        "recipe": row.recipe,
        "requested_by": row.requested_by or None,
        "asked_at": moment(row.asked_at),
        "started_at": moment(row.started_at),
        "file_system": row.file_system or None,
        "server": row.server or None,
        "blocks_read": row.blocks_read,
        "blocks_of_snapshot": row.blocks_of_snapshot,
        "replay_bytes": row.replay_bytes,
        "redo": None if row.redo_bytes is None else {"bytes": row.redo_bytes, "text": row.redo},
        "mark": row.mark or None,
        "output": row.output,
        "events": [
            {"at": moment(each.at), "state": each.state, "text": each.text}
            for each in row.events.all()
        ],
    }


def retention(verdict: Verdict) -> Json:
    """Return what becomes of a restore point as plain values."""
    return {
        "keep": verdict.keep,
        "reasons": list(verdict.reasons),
        "until": moment(verdict.until),
    }


def _retention(run: UUID, verdict: Verdict | None) -> Json | None:
    going = None if verdict and verdict.keep else removals.of_runs([run]).get(run)
    if verdict is None and going is None:
        return None
    shown = retention(verdict) if verdict else {"keep": False, "reasons": [], "until": None}
    if going is None:
        return shown
    return {
        **shown,
        "reasons": shown["reasons"] or [going.why],
        "goes_after": moment(going.goes_after),
        "deleted_at": moment(going.ended_at),
        "bin_until": moment(going.bin_until),
        "problem": going.problem or None,
    }


@_harmless
def plan(label: str, verdicts: Iterable[Verdict]) -> Json:
    """Return what becomes of each restore point of a policy as plain values, newest first."""
    return {
        "policy": label,
        "restore_points": [
            {"run": each.point.key, "at": moment(each.point.at), **retention(each)}
            for each in verdicts
        ],
    }


def server(row: ServerRow) -> Json:
    """Return a server as plain values."""
    return {
        **row._asdict(),
        "first_seen_at": moment(row.first_seen_at),
        "heartbeat_at": moment(row.heartbeat_at),
        "problems": list(row.problems),
    }


def ssh_key(row: SshKey) -> Json:
    """Return the public half of a key as plain values."""
    return {
        "fingerprint": row.fingerprint,
        "public": row.public,
        "authorized_keys": row.authorized_keys,
        "valid": row.is_valid,
        "made_at": moment(row.made_at),
    }


def ssh_host(row: SshHost) -> Json:
    """Return a host of scripts as plain values."""
    approved, seen = row.approved_key, row.seen_key
    return {
        "host": row.name,
        "port": row.port,
        "state": row.state,
        "fingerprint": approved.fingerprint if approved else "",
        "seen": seen.fingerprint if seen else "",
        "seen_at": moment(row.seen_at),
        "approved_by": row.approved_by,
        "approved_at": moment(row.approved_at),
        "problem": row.problem,
        "instance": row.instance_id,
        "console": row.console,
        "policies": row.policies,
    }


def _phase(row: PhaseRow) -> Json:
    return {
        "outcome": row.outcome,
        "exit_code": row.exit_code,
        "argument": row.argument,
        "script": row.script,
        "script_sha256": (row.script_sha256 or None) if not row.script_doubt else None,
        "script_doubt": row.script_doubt or None,
        "started_at": moment(row.started_at),
        "ended_at": moment(row.ended_at),
        "stdout": row.stdout,
        "stderr": row.stderr,
    }


def _target(target: TargetRow) -> Json:
    return {
        "instance": target.instance_id,
        "volume": target.volume_id,
        "region": target.region,
        "state": target.state,
        "consistency": target.consistency,
        "reason": target.reason,
        "fired_at": moment(target.fired_at),
        "remote": target.remote,
        "thaw_by": target.thaw_by or None,
        "thaw_began_at": moment(target.thaw_began_at),
        "thawed_at": moment(target.thawed_at),
        "phases": {
            row.phase: {**_phase(row), "thaw_by": row.thaw_by or None} for row in target.phases
        },
    }


def _snapshot(snapshot: SnapshotRow, target: TargetRow) -> Json:
    return {
        "id": snapshot.snapshot_id,
        "volume": snapshot.volume_id,
        "device": snapshot.device,
        "size_gib": snapshot.size_gib,
        "instance": target.instance_id,
        "region": target.region,
        "state": snapshot.state,
        "progress": snapshot.progress,
    }


@_harmless
def policy(found: Policy, ahead: outlook.Outlook) -> Json:
    """Return a policy and its next times as plain values; its rows must be read as by `selectors.policies.whole`.

    Settings and targets have the same keys as in the document of `apply`.
    """
    return {
        "policy": found.label,
        **fields.values(fields.POLICY, found),
        "account": found.account.name,
        "targets": [fields.target(target) for target in found.targets.all()],
        "schedules": [schedule(row) for row in found.schedules.all()],
        "next_run_times": [moment(at) for at in ahead.times],
        "next_run_note": ahead.note,
        "last_run": _last(found.last_run),
        "last_success_at": moment(found.last_success_at),
        "may_be_frozen_since": moment(found.may_be_frozen_since),
        "paused": _pause(found),
    }


def _pause(found: Policy) -> Json | None:
    if not pauses.is_paused(found, clock.now()):
        return None
    return {
        "since": moment(found.paused_at),
        "until": moment(found.paused_until),
        "reason": found.paused_reason,
        "by": found.paused_by,
    }


@_harmless
def schedule(found: Schedule) -> Json:
    """Return a schedule's rule as plain values; `when` is in words."""
    return {
        "name": found.name,
        "when": outlook.in_words(found),
        "timezone": found.timezone,
        "disabled": list(found.disabled),
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


@_harmless
def probe(found: probing.Probe) -> Json:
    """Return the result of an account's test as plain values."""
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


@_harmless
def trial(found: Trial) -> Json:
    """Return a drill, or a login that was tried, as plain values; `state` of an instance is its verdict."""
    return {
        "id": str(found.pk),
        "policy": found.policy.label,
        "kind": found.kind,
        "state": found.state,
        "requested_by": found.requested_by,
        "asked_at": moment(found.asked_at),
        "started_at": moment(found.started_at),
        "ended_at": moment(found.ended_at),
        "waiting_for": found.waiting_for,
        "instances": [
            {
                "instance": each.instance_id,
                "region": each.region,
                "state": each.verdict,
                "thaw_by": each.thaw_by or None,
                "key": each.key or None,
                "reason": each.sentence,
            }
            for each in found.results.all()
        ],
    }


def moment(at: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds") if at else None
