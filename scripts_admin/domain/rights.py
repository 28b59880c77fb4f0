"""What can be done with a row, what can be granted on one, and where what belongs to it is found. Pure."""

from collections.abc import Mapping
from enum import StrEnum


class Deed(StrEnum):
    """What a user may do with a row."""

    SEE = "see"
    CHANGE = "change"
    RUN = "run"
    APPROVE_HOSTS = "approve hosts"
    RESTORE = "restore"
    SHARE = "share"
    DELETE = "delete"


class Right(StrEnum):
    """What can be granted on a folder or a policy. Each brings the right to view it."""

    VIEW = "view"
    EDIT = "edit"
    RUN = "run"
    APPROVE_HOSTS = "approve hosts"
    RESTORE = "restore"


FOLDER, POLICY = "scripts_admin.folder", "policies.policy"
# Which rights allow a deed. What is missing is for the owner only.
ALLOWING: Mapping[Deed, frozenset[Right]] = {
    Deed.SEE: frozenset(Right),
    Deed.CHANGE: frozenset({Right.EDIT}),
    Deed.RUN: frozenset({Right.RUN}),
    Deed.APPROVE_HOSTS: frozenset({Right.APPROVE_HOSTS}),
    Deed.RESTORE: frozenset({Right.RESTORE}),
}
# What can be granted on each: a folder has no restore points.
GRANTED_ON: Mapping[str, tuple[Right, ...]] = {
    FOLDER: tuple(right for right in Right if right != Right.RESTORE),
    POLICY: tuple(Right),
}
# The permission that guardian keeps for each right. Not Django's `view_` and `change_`: those open the admin.
CODENAMES: Mapping[Right, str] = {
    Right.VIEW: "see",
    Right.EDIT: "edit",
    Right.RUN: "run",
    Right.APPROVE_HOSTS: "approve_hosts",
    Right.RESTORE: "restore",
}
# The look-ups that lead from a row to its owners, by model; for every other model it is "owner".
OWNERS: Mapping[str, tuple[str, ...]] = {
    "policies.alarmreceivers": ("user", "policy__owner"),
    "policies.alarmmute": ("policy__owner",),
    "policies.dailycount": ("policy__owner",),
    "policies.policytarget": ("policy__owner",),
    "policies.inventoryplace": ("account__owner",),
    "policies.inventoryitem": ("account__owner",),
    "policies.leftout": ("account__owner",),
    "policies.enrolrule": ("account__owner",),
    "policies.runtarget": ("run__owner",),
    "policies.phaseresult": ("run__owner",),
    "policies.runevent": ("run__owner",),
    "policies.outputchunk": ("result__run__owner",),
    "policies.runsnapshot": ("target__run__owner",),
    "policies.proofevent": ("proof__owner",),
    "policies.recoverystep": ("recovery__owner",),
    "policies.recoveryresource": ("recovery__owner",),
    "policies.recoveryevent": ("recovery__owner",),
}
# What can be shared, and the look-up that leads there from what belongs to it. Accounts, schedules, inventory and
# the receivers of alarms are not here: they are used for a shared policy, and stay with the owner.
SHARED: Mapping[str, tuple[str, str]] = {
    FOLDER: (FOLDER, ""),
    POLICY: (POLICY, ""),
    "policies.run": (POLICY, "policy"),
    "policies.proof": (POLICY, "policy"),
    "policies.proofevent": (POLICY, "proof__policy"),
    "policies.alarm": (POLICY, "policy"),
    "policies.alarmmute": (POLICY, "policy"),
    "policies.dailycount": (POLICY, "policy"),
    "policies.policytarget": (POLICY, "policy"),
    "policies.runtarget": (POLICY, "run__policy"),
    "policies.phaseresult": (POLICY, "run__policy"),
    "policies.runevent": (POLICY, "run__policy"),
    "policies.outputchunk": (POLICY, "result__run__policy"),
    "policies.runsnapshot": (POLICY, "target__run__policy"),
    "policies.recovery": (POLICY, "policy"),
    "policies.recoverystep": (POLICY, "recovery__policy"),
    "policies.recoveryresource": (POLICY, "recovery__policy"),
    "policies.recoveryevent": (POLICY, "recovery__policy"),
}
