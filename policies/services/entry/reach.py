"""Scripts on instances, before a run: what is there for each, and what is missing to get to it. AWS is not asked."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from policies.services.window import on_instances
from scripts_admin import permissions
from scripts_admin.domain import ssh
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.domain.remote import AT, Bastion, By, Key, Remote
from scripts_admin.folders import carried
from scripts_admin.folders.carried import Carried, InFolder
from scripts_admin.models import Folder, SshHost, SshKey, User

KEYS_PAGE, HOSTS_PAGE = "ssh-keys", "ssh-hosts"
# Written out: commands that load no page say them too. A test compares them with the pages' own.
_ADDRESSES = {KEYS_PAGE: "/scripts/{}/keys/", HOSTS_PAGE: "/scripts/{}/hosts/"}
_APPROVE = "add {}, compare the key that it shows, and approve it."
_SAID = 3  # so many instances are named; the others are counted


@dataclass(frozen=True, slots=True)
class Missing:
    """Something without which no session can be opened; `page` is the name of the page where it is made."""

    sentence: str
    page: str
    folder: str

    def __str__(self) -> str:
        """Return the sentence with the address of the page, for who reads it outside of a browser."""
        return f"{self.sentence} {_ADDRESSES[self.page].format(self.folder)}"


@dataclass(frozen=True, slots=True)
class Slot:
    """A phase on an instance, as a page shows it; `example` is a name that a file for it would have."""

    phase: Phase
    found: Carried
    example: str
    problem: str  # empty for whoever may not see the folder

    @property
    def is_missing(self) -> bool:
        return self.found.outcome == Outcome.MISSING


@dataclass(frozen=True, slots=True)
class Reached:
    """An instance with scripts: how they get there, and which."""

    instance: str
    how: str
    slots: tuple[Slot, ...]

    @property
    def problem(self) -> str:
        """Return what is wrong between its scripts, if each by itself is right."""
        before, after = (slot.is_missing for slot in self.slots)
        if after and not before:
            return (
                f"{self.instance} has a before and no after, so nothing thaws what it freezes there: add an after that "
                "thaws, or one that only exits with 0."
            )
        return ""


def of(
    folder: Folder, policy: str, wanted: Mapping[str, Remote], viewer: User | None
) -> list[Reached]:
    """Return what the folder has for each instance of a policy of this name, which need not exist yet.

    Problems say what is written in the scripts, so only who may see the folder gets them (None: nobody).
    """
    if not wanted:
        return []
    is_open = viewer is not None and permissions.may_see(viewer, folder)
    slots: defaultdict[str, list[Slot]] = defaultdict(list)
    for found in carried.find(InFolder(folder), policy, wanted):
        example = f"{found.phase}_{policy}{AT}{found.instance}.sh"
        problem = found.problem if is_open else ""
        if folder.needs_approval and not found.is_file:
            problem = on_instances.unseen(found)
        slots[found.instance].append(Slot(found.phase, found, example, problem))
    return [Reached(each, str(how), tuple(slots[each])) for each, how in wanted.items()]


def missing(folder: Folder, wanted: Mapping[str, Remote]) -> list[Missing]:
    """Return what has to be there before the scripts can get to each of these instances.

    What SSM needs is on the account's page for SSM, and is looked for before each run.
    """
    by_ssh = {each: how for each, how in wanted.items() if how.by == By.SSH}
    return [*_keys(folder, by_ssh), *_hosts(folder, by_ssh)] if by_ssh else []


def _keys(folder: Folder, by_ssh: Mapping[str, Remote]) -> Iterator[Missing]:
    need = [each for each, how in by_ssh.items() if how.key == Key.STORED]
    if need and not SshKey.objects.filter(folder=folder, slot__isnull=False).exists():
        yield Missing(
            f"The folder {folder} has no SSH key, so no script can get to {_named(need)}: make one, and put its public "
            "half on the instances.",
            KEYS_PAGE,
            folder.name,
        )


def _hosts(folder: Folder, by_ssh: Mapping[str, Remote]) -> Iterator[Missing]:
    rows = SshHost.objects.filter(folder=folder).exclude(key="")
    approved = {(row.name, row.port) for row in rows}
    instances = {(row.instance_id, row.port) for row in rows}
    unknown: defaultdict[str, list[str]] = defaultdict(list)
    nameless = []
    for instance, how in by_ssh.items():
        for place in set(_places(how)) - approved:
            unknown[str(Bastion(*place))].append(instance)
        if not how.host and (instance, how.port) not in instances:
            nameless.append(instance)
    for known, needing in unknown.items():
        why = f"The SSH host {known}, on the way to {_named(needing)}, is not approved"
        yield Missing(f"{why}: {_APPROVE.format('it')}", HOSTS_PAGE, folder.name)
    if nameless:
        why = f"No approved SSH host belongs to {_named(nameless)}"
        what = _APPROVE.format("the private address of each")
        yield Missing(f"{why}: {what}", HOSTS_PAGE, folder.name)


def _places(how: Remote) -> Iterator[tuple[str, int]]:
    """Yield the hosts that are named on the way; what is no host is refused where it is entered."""
    with suppress(ValueError):
        if how.host:
            yield ssh.host_name(how.host), how.port or ssh.DEFAULT_PORT
    with suppress(ValueError):
        if how.through:
            yield how.through.host, how.through.port


def _named(instances: Iterable[str]) -> str:
    found = list(dict.fromkeys(instances))
    more = len(found) - _SAID
    return ", ".join(found) if more <= 0 else f"{', '.join(found[:_SAID])} and {more} more"
