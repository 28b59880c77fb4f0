"""Why a run was made."""

from enum import StrEnum


class Trigger(StrEnum):
    """Why a run was made; rows and JSON have these words."""

    MANUAL = "manual"
    SCHEDULE = "schedule"
    RETRY = "retry"
    TEST = "test"
