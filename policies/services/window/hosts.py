"""The hosts of a run's scripts, before anything is frozen: a changed key stops the run."""

from n2wbackup.lib import clock
from policies.domain.errors import BackupError
from policies.models import Policy, Run
from policies.services import runs
from policies.services.alarms import raising
from policies.services.window.scripts import Scripts
from scripts_admin.domain.phases import Phase
from scripts_admin.services import host_checks

_WHAT_NOW = (
    "Nothing was frozen or backed up. Compare the keys on the page Hosts of these scripts, and approve the new one "
    "only if it is right."
)


class HostChangedError(BackupError):
    """A host of the scripts shows another key than the approved one: somebody else may be answering."""


def check(run: Run, policy: Policy, found: Scripts) -> None:
    """Ask the hosts whether they show their approved keys; HostChangedError, with an alarm, if one does not.

    A host that does not answer stops nothing: it may be down, and the scripts will say so.
    """
    if not found.found.keys() & {Phase.BEFORE, Phase.AFTER, Phase.COMPLETE}:
        return
    instances = set(policy.targets.exclude(instance_id="").values_list("instance_id", flat=True))
    answered = host_checks.check(host_checks.of_run(policy.folder, policy.name, instances))
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


def _note(run: Run, text: str) -> None:
    """Enter it once: a run that waits comes here again."""
    if not run.events.filter(text=text).exists():
        runs.record(run, text)
