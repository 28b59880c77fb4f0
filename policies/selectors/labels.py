"""Find rows by the names that people use: "owner/name", or a run's id. InputError if there is no such row."""

from uuid import UUID

from n2wbackup.lib import nearest
from policies.domain.errors import InputError
from policies.models import Account, Policy, Proof, Run
from policies.models.querysets import OwnedQuerySet
from policies.selectors import proofs, runs
from scripts_admin.domain import names
from scripts_admin.models import User


def policy(label: str, viewer: User | None = None) -> Policy:
    """Return the policy called "owner/name", if the viewer may see it (None: any policy).

    InputError if there is none, or if the label is malformed.
    """
    owner, slash, name = label.partition("/")
    if not slash or not owner or not name:
        near = _near_policy(label, viewer)
        message = (
            f"{label!r} does not name a policy: write OWNER/NAME, such as cpm_user1/policy1.{near}"
        )
        raise InputError(message)
    if not names.is_policy_name(name):
        message = (
            f"{name!r} is not a valid policy name: use at most 64 letters, digits, '_' and '-'. A dot is not "
            "allowed, as a script's base name ends at its first dot."
        )
        raise InputError(message)
    rows = _visible(viewer).select_related("owner", "folder", "account")
    rows = rows.defer("account__secret_access_key")  # its key may be lost, and thawing needs none
    found = rows.filter(owner__username=owner, name=name).first()
    if found is None:
        message = f"There is no policy {label}: list_policies shows all names.{_near_policy(label, viewer)}"
        raise InputError(message)
    return found


def _visible(viewer: User | None) -> OwnedQuerySet[Policy]:
    return Policy.objects.all() if viewer is None else Policy.objects.visible_to(viewer)


def _near_policy(label: str, viewer: User | None) -> str:
    """Return the hint for a label that names no policy; the owner alone may be missing."""
    names = _visible(viewer).values_list("owner__username", "name")
    known = [f"{owner}/{name}" for owner, name in names]
    bare = [full for full in known if full.partition("/")[2] == label]
    return f" Did you mean {bare[0]}?" if bare else nearest.hint(label, known)


def user(name: str) -> User:
    """Return the user of this name; InputError if there is none."""
    found = User.objects.filter(username=name).first()
    if found is None:
        near = nearest.hint(name, User.objects.values_list("username", flat=True))
        message = (
            f"There is no user {name}: look for the name on the admin pages or with export.{near}"
        )
        raise InputError(message)
    return found


def account(label: str) -> Account:
    """Return the account called "owner/name"; InputError if there is none."""
    owner, _, name = label.partition("/")
    if not owner or not name:
        message = f"{label!r} does not name an account: write OWNER/NAME, such as cpm_user1/lab."
        raise InputError(message)
    found = Account.objects.select_related("owner").filter(owner__username=owner, name=name).first()
    if found is None:
        known = Account.objects.values_list("owner__username", "name")
        near = nearest.hint(label, [f"{owner}/{name}" for owner, name in known])
        message = f"There is no account {label}: look for its name on the admin pages or with export.{near}"
        raise InputError(message)
    return found


def proof(proof_id: str) -> Proof:
    """Return a proof with all that its page shows; InputError if no proof has that id."""
    try:
        key = UUID(proof_id)
    except ValueError:
        message = f"{proof_id!r} is not a proof's id: give the UUID that prove printed."
        raise InputError(message) from None
    found = proofs.whole().filter(pk=key).first()
    if found is None:
        message = f"There is no proof {proof_id}: look for its id with show_run."
        raise InputError(message)
    return found


def run(run_id: str) -> Run:
    """Return a run with all that its page shows; InputError if no run has that id."""
    try:
        key = UUID(run_id)
    except ValueError:
        message = (
            f"{run_id!r} is not a run's id: give the UUID that run_policy or list_runs printed."
        )
        raise InputError(message) from None
    found = runs.whole().filter(pk=key).first()
    if found is None:
        message = f"There is no run {run_id}: look for its id with list_runs."
        raise InputError(message)
    return found
