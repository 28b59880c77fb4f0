"""A recovery without the deed: AWS is asked, with DryRun, whether it would permit each step."""

from collections.abc import Callable
from dataclasses import dataclass

from n2wbackup.lib import home
from policies.adapters import session
from policies.adapters.limits import RECOVERY_TAG, SERVER_TAG, image_name
from policies.domain.errors import AwsError
from policies.domain.recovery import steps
from policies.domain.recovery.steps import Deed, Step
from policies.ports.making import ImageOrder, Making, RootOrder, VolumeOrder
from policies.services.recovery.planning import Plan
from policies.services.window import credentials

# The tag that a real recovery has its id in; nothing is made.
_NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Answer:
    """A step in words, and what AWS says: "" if it permits it, "?" if it cannot be asked before the step is due."""

    sentence: str
    refusal: str = ""

    @property
    def was_asked(self) -> bool:
        return self.refusal != UNASKED

    @property
    def is_refused(self) -> bool:
        return bool(self.refusal) and self.was_asked


UNASKED = "?"


def rehearse(plan: Plan) -> list[Answer]:
    """Return each step with AWS's answer. Nothing is made or changed."""
    making = session.making(credentials.of(plan.account))
    return [Answer(steps.sentence(step), _asked(making, plan, step)) for step in plan.steps]


def _asked(making: Making, plan: Plan, step: Step) -> str:
    """Return AWS's refusal; what needs something that an earlier step makes cannot be asked."""
    params, region = step.params, plan.region
    ours = {SERVER_TAG: home.server_id(), RECOVERY_TAG: _NOBODY}
    asks: dict[Deed, Callable[[], object]] = {
        Deed.CREATE: lambda: making.create_volume(_volume(plan, step, ours), dry_run=True),
        Deed.ROOT: lambda: making.replace_root(
            RootOrder(region, params["instance"], params["snapshot"], _NOBODY, ours), dry_run=True
        ),
        Deed.REGISTER: lambda: making.register(
            ImageOrder(region, image_name(_NOBODY), ours, params["parameters"]), dry_run=True
        ),
        Deed.STOP: lambda: making.stop(region, params["instance"], dry_run=True),
    }
    stops = any(each.deed == Deed.STOP for each in plan.steps)
    if step.deed == Deed.DETACH and not stops:
        asks[Deed.DETACH] = lambda: making.detach(
            region, params["volume"], params["instance"], dry_run=True
        )
    ask = asks.get(step.deed)
    if ask is None:
        return UNASKED
    try:
        ask()
    except AwsError as error:
        return str(error)
    return ""


def _volume(plan: Plan, step: Step, ours: dict[str, str]) -> VolumeOrder:
    given = step.params
    return VolumeOrder(
        plan.region,
        given["snapshot"],
        given["zone"],
        _NOBODY,
        {**given.get("tags", {}), **ours},
        given.get("type", ""),
        given.get("iops", 0),
        given.get("throughput", 0),
        given.get("kms", ""),
        given.get("rate", 0),
    )
