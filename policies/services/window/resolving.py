"""What a run would back up, as AWS knows it: instances and volumes, each volume given to one target."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from policies.domain.errors import BackupError, ThrottledError
from policies.models import Description, PolicyTarget
from policies.ports import Cloud, Instance, Volume
from policies.services.window import descriptions


@dataclass(slots=True)
class Resolved:
    """AWS's data on one target; `problem` is a sentence if it cannot be backed up."""

    wanted: PolicyTarget
    volumes: tuple[str, ...] = ()  # those that this target's call fires
    own: tuple[str, ...] = ()  # these, and those that another target's call fires
    root: str = ""
    aws_account: str = ""
    problem: str = ""
    instance: Instance | None = None
    found: dict[str, Volume] = field(default_factory=dict)
    description: Description | None = None

    @property
    def resources(self) -> list[str]:
        region = self.wanted.region
        own = [self.wanted.instance_id] if self.wanted.instance_id else []
        return [f"{region}:{name}" for name in (*own, *self.volumes)]

    @property
    def fired_elsewhere(self) -> tuple[str, ...]:
        return tuple(volume for volume in self.own if volume not in self.volumes)


def resolve(cloud: Cloud, targets: Sequence[PolicyTarget]) -> list[Resolved]:
    by_region: dict[str, list[Resolved]] = defaultdict(list)
    resolved = [Resolved(target) for target in targets]
    for one in resolved:
        by_region[one.wanted.region].append(one)
    for region, ones in by_region.items():
        try:
            _resolve_region(cloud, region, ones)
        except ThrottledError:
            raise
        except BackupError as error:
            for one in ones:
                one.problem = one.problem or str(error)
    return resolved


def _resolve_region(cloud: Cloud, region: str, ones: Sequence[Resolved]) -> None:
    ids = [one.wanted.instance_id for one in ones if one.wanted.instance_id]
    instances = cloud.instances(region, ids) if ids else {}
    for one in ones:
        if one.wanted.instance_id:
            _take_instance(one, instances.get(one.wanted.instance_id))
    named = {volume for one in ones for volume in one.volumes}
    alone = {one.wanted.volume_id for one in ones if one.wanted.volume_id}
    volumes = cloud.volumes(region, sorted(named | alone)) if named | alone else {}
    for one in ones:
        if one.wanted.volume_id:
            _take_volume(one, volumes.get(one.wanted.volume_id))
        one.found = {v: volumes[v] for v in one.own if v in volumes}


def share(resolved: Iterable[Resolved]) -> None:
    """Give each volume to one target only, as it is fired once: instances first, in the policy's order.

    A target with a problem is not fired, so it takes no volume.
    """
    taken: set[tuple[str, str]] = set()
    for one in sorted(resolved, key=lambda one: not one.wanted.instance_id):
        region = one.wanted.region
        if not one.problem:
            one.volumes = tuple(v for v in one.own if (region, v) not in taken)
            taken |= {(region, volume) for volume in one.own}


def _take_instance(one: Resolved, found: Instance | None) -> None:
    wanted = one.wanted
    where = f"{wanted.instance_id} in {wanted.region}"
    if found is None:
        one.problem = (
            f"The instance {where} does not exist for this account: correct its id or region, or remove it "
            "from the policy."
        )
        return
    one.aws_account = found.aws_account_id
    one.instance = found
    unknown = sorted(set(wanted.exclude_volume_ids) - set(found.volume_ids))
    if unknown:
        one.problem = f"The excluded volume {unknown[0]} is not attached to {where}: remove it from the exclusions."
    elif found.root_volume_id in wanted.exclude_volume_ids:
        one.problem = (
            f"{found.root_volume_id} is the boot volume of {where}, and AWS does not exclude a boot volume by "
            "its id: use exclude_boot_volume."
        )
    else:
        boot = {found.root_volume_id} if wanted.exclude_boot_volume else set()
        left_out = set(wanted.exclude_volume_ids) | boot
        one.own = tuple(v for v in found.volume_ids if v not in left_out)
        one.volumes, one.root = one.own, found.root_volume_id
        if not one.own:
            one.problem = f"No volume of {where} is left to back up: exclude fewer of them."


def _take_volume(one: Resolved, found: Volume | None) -> None:
    wanted = one.wanted
    if found is None:
        one.problem = (
            f"The volume {wanted.volume_id} in {wanted.region} does not exist for this account: correct its id "
            "or region, or remove it from the policy."
        )
    else:
        one.own = one.volumes = (wanted.volume_id,)


def described(resolved: Sequence[Resolved], cloud: Cloud) -> Sequence[Resolved]:
    """Keep what AWS said of each target. It may be asked for more, so no transaction is open."""
    for one in resolved:
        if not one.problem:
            region = one.wanted.region
            one.description = descriptions.enter(cloud, region, one.instance, one.found)
    return resolved
