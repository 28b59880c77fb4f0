"""The last windows of a policy: how long its application was held, as a trend; and whose scripts are at work."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

from policies.domain.runs.sequence import MAY_BE_FROZEN, State
from policies.models import Policy, Run

WINDOWS = 60
_SHARE = 0.95


class Window(NamedTuple):
    run: UUID
    at: datetime
    freeze_seconds: float
    hold_seconds: float | None
    state: str


class Trend(NamedTuple):
    """The last windows, oldest first; the percentiles are None where there is no window."""

    windows: Sequence[Window]
    freeze_p95: float | None
    hold_p95: float | None


def trend(policy: Policy) -> Trend:
    """Return the windows among the policy's newest runs."""
    rows = Run.objects.filter(policy=policy).order_by("-created_at")
    columns = ("pk", "created_at", "freeze_seconds", "hold_seconds", "state")
    found = [
        Window(pk, at, freeze, hold, state)
        for pk, at, freeze, hold, state in rows.values_list(*columns)[:WINDOWS]
        if freeze is not None
    ]
    holds = [one.hold_seconds for one in found if one.hold_seconds is not None]
    return Trend(
        tuple(reversed(found)),
        _p95([one.freeze_seconds for one in found]),
        _p95(holds),
    )


def _p95(values: Sequence[float]) -> float | None:
    """Return the value that 95 of 100 do not exceed; of fewer than 20 values, the greatest."""
    return sorted(values)[math.ceil(_SHARE * len(values)) - 1] if values else None


def open_scripts(folder: str) -> str:
    """Return a sentence if a script of this folder may be running as its owner's account, else ""."""
    if settings.N2W_RUN_SCRIPTS_AS != "owner":
        return ""
    states = [*MAY_BE_FROZEN, State.COMPLETING]
    run = Run.objects.filter(policy__folder__name=folder, state__in=states).order_by("pk").first()
    if run is None:
        return ""
    return (
        f"Scripts of {run.owner_name}/{run.policy_name} are at work in the run {run.pk}, so the Linux account "
        f"{folder} was not locked: wait for its end, or cancel it, and run this again."
    )
