"""Triggers: what can start a run."""

from enum import StrEnum


class Trigger(StrEnum):
    """What started a run; rows and JSON have these words."""

    MANUAL = "manual"
    SCHEDULE = "schedule"
    RETRY = "retry"
    TEST = "test"
