"""Recoveries as JSON, the same for the API and the commands."""

from typing import Any

from policies.api.as_json import Json, moment
from policies.models import Recovery
from policies.selectors import sources
from policies.services.recovery.planning import Plan
from policies.services.recovery.rehearsing import Answer

MOST = 200


def recovery(row: Recovery) -> Json:
    """Return a recovery with everything that it made, its steps and its history."""
    return {
        **short(row),
        "choices": row.choices,
        "created": [
            {
                "resource": made.resource_id,
                "from_snapshot": made.from_snapshot or None,
                "progress": made.progress,
                "full_speed_at": moment(made.full_speed_at),
                "fate": made.fate,
            }
            for made in row.resources.all()
        ],
        "steps": [
            {
                "deed": step.deed,
                "takes_back": step.takes_back,
                "state": step.state,
                "resource": step.resource or None,
                "problem": step.problem,
                "begun_at": moment(step.begun_at),
                "ended_at": moment(step.ended_at),
            }
            for step in row.steps.all()
        ],
        "events": [
            {"at": moment(each.at), "state": each.state, "text": each.text}
            for each in row.events.all()
        ],
    }


def short(row: Recovery) -> Json:
    """Return a recovery as lists have it."""
    return {
        "id": str(row.pk),
        "run": str(row.run_id_copied),
        "policy": row.label,
        "kind": row.kind,
        "of": row.subject,
        "region": row.region,
        "account": row.account_name,
        "source": sources.in_words(row.source) or None,
        "state": row.state,
        "reason": row.reason,
        "waiting_for": row.waiting_for,
        "requested_by": row.requested_by,
        "asked_at": moment(row.asked_at),
        "made_at": moment(row.made_at),
        "full_speed_at": moment(row.full_speed_at),
        "ended_at": moment(row.ended_at),
    }


def rehearsal(plan: Plan, answers: list[Answer]) -> dict[str, Any]:
    """Return what would be made, and what AWS says of it."""
    return {
        "run": str(plan.run.pk),
        "kind": plan.choices.kind,
        "of": plan.subject,
        "region": plan.region,
        "account": plan.account.name,
        "source": sources.in_words(plan.choices.source) or None,
        "confirm_with": plan.touches or None,
        "steps": [
            {
                "deed": step.deed,
                "says": answer.sentence,
                "asked": answer.was_asked,
                "refusal": answer.refusal if answer.is_refused else "",
                "parameters": dict(step.params),
            }
            for step, answer in zip(plan.steps, answers, strict=True)
        ],
        "notes": list(plan.notes),
        "differs_from_today": [each._asdict() for each in plan.differences],
    }
