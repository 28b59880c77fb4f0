"""Which script gets to which instance: the context of templates/policies/policy/on_instances.html."""

from policies.models import Policy
from policies.services.entry import reach
from policies.services.window import on_instances
from scripts_admin import permissions
from scripts_admin.models import User


def of(policy: Policy, person: User) -> dict[str, object]:
    """Return what the template needs; an empty `reached` where no script runs on an instance."""
    wanted = on_instances.remotes(policy)
    return {
        "row": policy,
        "reached": reach.of(policy.folder, policy.name, wanted, person),
        "missing": reach.missing(policy.folder, wanted) if policy.scripts_enabled else [],
        "sees_folder": bool(wanted) and permissions.may_see(person, policy.folder),
    }
