"""What AWS says of the instances of some targets, with the policy's own account."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from policies.adapters import session
from policies.domain.errors import BackupError
from policies.models import Account, PolicyTarget
from policies.ports import Instance
from policies.services.window import credentials


def targets(account: Account, wanted: Sequence[PolicyTarget]) -> Mapping[int, Instance | str]:
    """Return the instance of each target, by the target's key; where there is none, why, in one sentence."""
    found: dict[int, Instance | str] = {}
    by_region: dict[str, list[PolicyTarget]] = defaultdict(list)
    for target in wanted:
        by_region[target.region].append(target)
    for region, some in by_region.items():
        try:
            credentials.refuse_withdrawn(account)
            cloud = session.cloud(credentials.of(account))
            there = cloud.instances(region, [each.instance_id for each in some])
        except BackupError as error:
            found |= {each.pk: str(error) for each in some}
            continue
        for each in some:
            missing = f"There is no instance {each.instance_id} in {region} with this account: correct the target."
            found[each.pk] = there.get(each.instance_id, missing)
    return found
