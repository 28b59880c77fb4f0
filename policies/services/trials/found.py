"""What a trial has found on one instance."""

from dataclasses import dataclass

from policies.domain.trials import Verdict
from policies.models import PolicyTarget


@dataclass(frozen=True, slots=True)
class Found:
    target: PolicyTarget
    verdict: Verdict
    sentence: str
    thaw_by: str = ""
    key: str = ""
