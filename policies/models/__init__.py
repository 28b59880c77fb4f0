"""The rows of policies, runs and alarms."""

from policies.models.account import Account
from policies.models.alarm import Alarm, AlarmDelivery, AlarmMute, AlarmReceivers
from policies.models.browsing import BroughtFiles, OpenedSnapshot
from policies.models.copy import Copy, CopyRule
from policies.models.cost import PolicyCost, SnapshotSize
from policies.models.inventory import EnrolRule, InventoryItem, InventoryPlace, LeftOut
from policies.models.output import OutputChunk
from policies.models.policy import Policy, PolicyTarget
from policies.models.proof import Proof, ProofEvent
from policies.models.recovery import Recovery, RecoveryEvent, RecoveryResource, RecoveryStep
from policies.models.resources import FirePermits, VolumeFire, WindowLease
from policies.models.result import PhaseResult
from policies.models.retention import Hold, Removal
from policies.models.rollup import DailyCount, DailySum
from policies.models.run import Description, Run, RunEvent, RunSnapshot, RunTarget
from policies.models.schedule import Schedule
from policies.models.server import ScriptCopy, Server, Turn
from policies.models.sharing import PolicyGroupPermission, PolicyUserPermission
from policies.models.ssm import SsmInstance, SsmPlace
from policies.models.trial import Trial, TrialResult

__all__ = [
    "Account",
    "Alarm",
    "AlarmDelivery",
    "AlarmMute",
    "AlarmReceivers",
    "BroughtFiles",
    "Copy",
    "CopyRule",
    "DailyCount",
    "DailySum",
    "Description",
    "EnrolRule",
    "FirePermits",
    "Hold",
    "InventoryItem",
    "InventoryPlace",
    "LeftOut",
    "OpenedSnapshot",
    "OutputChunk",
    "PhaseResult",
    "Policy",
    "PolicyCost",
    "PolicyGroupPermission",
    "PolicyTarget",
    "PolicyUserPermission",
    "Proof",
    "ProofEvent",
    "Recovery",
    "RecoveryEvent",
    "RecoveryResource",
    "RecoveryStep",
    "Removal",
    "Run",
    "RunEvent",
    "RunSnapshot",
    "RunTarget",
    "Schedule",
    "ScriptCopy",
    "Server",
    "SnapshotSize",
    "SsmInstance",
    "SsmPlace",
    "Trial",
    "TrialResult",
    "Turn",
    "VolumeFire",
    "WindowLease",
]
