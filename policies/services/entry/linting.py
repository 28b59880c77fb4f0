"""Whether the scripts of policies can run: asked at any time, with the answers that a run would get."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.domain.errors import InputError
from policies.models import Policy, PolicyTarget
from scripts_admin import linux_accounts, permissions
from scripts_admin.domain import names
from scripts_admin.domain.phases import Phase
from scripts_admin.domain.remote import AT, Remote
from scripts_admin.domain.shown import shown
from scripts_admin.folders import linting, storage
from scripts_admin.folders.linting import Level, Remark
from scripts_admin.linux_accounts import AccountError
from scripts_admin.models import Folder, User


@dataclass(frozen=True, slots=True)
class Linted:
    """A folder and what is wrong in it; `problem` is a sentence if none of its scripts can run."""

    folder: str
    policies: list[str]
    problem: str = ""
    remarks: list[Remark] = field(default_factory=list)

    @property
    def is_fine(self) -> bool:
        """Tell whether every script can run and do what it is for; warnings do not count."""
        return not self.problem and all(each.level != Level.ERROR for each in self.remarks)


def everything(owner: str = "") -> list[Linted]:
    """Look at the scripts of every policy, or of one owner's; InputError if there is no such user."""
    rows = Policy.objects.select_related("folder").filter(scripts_enabled=True)
    if owner:
        if not User.objects.filter(username=owner).exists():
            message = f"There is no user {owner}: give the name of a user who owns policies."
            raise InputError(message)
        rows = rows.filter(owner__username=owner)
    found: Mapping[Folder, list[str]] = defaultdict(list)
    for policy in rows.order_by("folder__name", "name"):
        found[policy.folder].append(policy.name)
    return [_folder(folder, policies, with_helpers=True) for folder, policies in found.items()]


@dataclass(frozen=True, slots=True)
class Place:
    """A phase of a policy: what its script must be called, what the folder has, and what is wrong with it."""

    phase: str
    pattern: str
    files: tuple[str, ...]
    remarks: tuple[Remark, ...]

    @property
    def example(self) -> str:
        return f"{self.pattern.removesuffix('*')}sh"


@dataclass(frozen=True, slots=True)
class Places:
    """The folder of a policy's scripts, with each phase; `problem` is a sentence if none of them can run."""

    folder: str
    places: tuple[Place, ...]
    problem: str = ""
    helpers: tuple[Remark, ...] = ()  # about files that belong to no phase of any policy
    on_instances: tuple[Remark, ...] = ()  # about the files that are carried to its instances
    is_open: bool = True  # False: the remarks are not for whoever asks

    @property
    def has_files(self) -> bool:
        return any(place.files for place in self.places)


def places(
    folder: Folder, policy: str, viewer: User | None, *, with_helpers: bool = False
) -> Places:
    """Return what the folder has for a policy of this name, which need not exist yet; the name must be valid.

    Remarks say what is written in the scripts, so only who may see the folder gets them (None: nobody).
    """
    is_open = viewer is not None and permissions.may_see(viewer, folder)
    linted = _folder(folder, [policy], with_helpers=with_helpers) if is_open else _CLOSED
    found = []
    for phase in Phase:
        try:
            files = tuple(map(shown, names.candidates(storage.listed(folder), phase, policy)))
        except OSError:  # the remarks say why
            files = ()
        of = tuple(each for each in linted.remarks if each.policy == policy and each.phase == phase)
        found.append(Place(phase, f"{names.base_name(phase, policy)}.*", files, of))
    helpers = tuple(each for each in linted.remarks if not each.policy)
    there = tuple(each for each in linted.remarks if AT in each.policy)
    return Places(folder.name, tuple(found), linted.problem, helpers, there, is_open)


_CLOSED = Linted("", [])


def _folder(folder: Folder, policies: list[str], *, with_helpers: bool = False) -> Linted:
    try:
        account = linux_accounts.script_account(folder)
        identity = linux_accounts.to_become(account)
    except AccountError as error:
        return Linted(folder.name, policies, str(error))
    environment = {
        "PATH": storage.SCRIPT_PATH,
        "LANG": "C.UTF-8",
        "HOME": account.home,
        "USER": account.identity.name,
    }
    known = [*Policy.objects.filter(folder=folder).values_list("name", flat=True), *policies]
    remarks = linting.look(
        folder,
        policies,
        identity,
        environment,
        all_policies=known if with_helpers else None,
        remotes=_remotes(folder, policies),
    )
    return Linted(folder.name, policies, remarks=remarks)


def _remotes(folder: Folder, policies: list[str]) -> Mapping[str, Mapping[str, Remote]]:
    found: dict[str, dict[str, Remote]] = defaultdict(dict)
    rows = PolicyTarget.objects.filter(policy__folder=folder, policy__name__in=policies)
    for target in rows.exclude(remote_by="").select_related("policy").order_by("pk"):
        found[target.policy.name][target.instance_id] = target.remote
    return found
