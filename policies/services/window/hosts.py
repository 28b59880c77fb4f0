"""The hosts of a run's scripts, before anything is frozen: a changed key stops the run."""

from dataclasses import dataclass

from n2wbackup.lib import clock
from policies.domain.errors import BackupError
from policies.models import Policy, Run
from policies.services import runs
from policies.services.alarms import raising
from policies.services.window.scripts import Scripts
from scripts_admin.domain import ssh
from scripts_admin.domain.phases import Phase
from scripts_admin.domain.remote import By
from scripts_admin.models import SshHost
from scripts_admin.services import host_checks

_WHAT_NOW = (
    "Nothing was frozen or backed up. Compare the keys on the page Hosts of these scripts, and approve the new one "
    "only if it is right."
)


class HostChangedError(BackupError):
    """A host of the scripts shows another key than the approved one: somebody else may be answering."""


def check(run: Run, policy: Policy, found: Scripts) -> None:
    """Ask the hosts whether they show their approved keys; HostChangedError, with an alarm, if one does not.

    A host that does not answer stops nothing: it may be down, and the scripts will say so. Where the run itself logs
    in, its session asks: see ways.py.
    """
    if not found.found.keys() & {Phase.BEFORE, Phase.AFTER, Phase.COMPLETE}:
        return
    instances = {each.instance_id for each in policy.targets.all() if each.instance_id}
    wanted = host_checks.of_run(policy.folder, policy.name, instances)
    if not wanted:
        return
    ours = _ours(policy)
    answered = host_checks.check([each for each in wanted if not ours.has(each)])
    if answered.silent:
        _note(run, f"{', '.join(answered.silent)} did not show an SSH host key: the run goes on.")
    if not answered.changed:
        return
    reason = " ".join([*(each.sentence for each in answered.changed), _WHAT_NOW])
    runs.record(run, reason)
    is_new = any(each.is_new for each in answered.changed)
    names = [str(each.host) for each in answered.changed]
    raising.host_key_changed(run, names, reason, clock.now(), is_new=is_new)
    raise HostChangedError(reason)


@dataclass(frozen=True, slots=True)
class _Ours:
    """The hosts that a policy's runs log in to by themselves: named ones, and instances at their private address."""

    places: frozenset[tuple[str, int]]
    instances: frozenset[str]

    def has(self, host: SshHost) -> bool:
        """Tell whether only a session asks the host. One that a person tied to policies is for scripts, too."""
        if host.policies:
            return False
        return (host.name, host.port) in self.places or (
            host.instance_id in self.instances and ssh.is_address(host.name)
        )


def _ours(policy: Policy) -> _Ours:
    places: set[tuple[str, int]] = set()
    instances: set[str] = set()
    for target in policy.targets.all():
        how = target.remote
        if how.by != By.SSH:
            continue
        if how.host:
            places.add((ssh.host_name(how.host), how.port or ssh.DEFAULT_PORT))
        else:
            instances.add(target.instance_id)
        if how.through is not None:
            places.add((how.through.host, how.through.port))
    return _Ours(frozenset(places), frozenset(instances))


def _note(run: Run, text: str) -> None:
    """Enter it once: a run that waits comes here again."""
    if not run.events.filter(text=text).exists():
        runs.record(run, text)
