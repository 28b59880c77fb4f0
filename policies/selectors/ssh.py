"""Keys and hosts of a script folder, as their pages show them."""

from dataclasses import dataclass

from policies.models import Policy, PolicyTarget
from scripts_admin.domain.ssh import PublicKey
from scripts_admin.models import Folder, HostState, SshHost

# The colours of states that operators know from runs.
_KINDS = {
    HostState.ASKED: "running",
    HostState.SILENT: "missed",
    HostState.SEEN: "waiting",
    HostState.APPROVED: "succeeded",
    HostState.REFUSED: "cancelled",
    HostState.CHANGED: "failed",
}
_WORDS = {
    HostState.ASKED: "is being asked",
    HostState.SILENT: "does not answer",
    HostState.SEEN: "waits for you",
    HostState.APPROVED: "approved",
    HostState.REFUSED: "refused",
    HostState.CHANGED: "KEY CHANGED",
}


@dataclass(frozen=True, slots=True)
class HostRow:
    """A host with its keys; `console` says what the console has to say about the key that it shows."""

    host: SshHost
    kind: str
    word: str
    approved: PublicKey | None
    seen: PublicKey | None
    console: str
    console_agrees: bool | None

    @property
    def is_open(self) -> bool:
        """Tell whether the key that it shows is not the approved one, so that somebody has to decide."""
        return self.seen is not None and self.seen != self.approved


def host_rows(folder: Folder) -> list[HostRow]:
    """Return the hosts of the folder: what needs a decision first."""
    order = [
        HostState.CHANGED,
        HostState.REFUSED,
        HostState.SEEN,
        HostState.ASKED,
        HostState.SILENT,
        HostState.APPROVED,
    ]
    rows = [host_row(host) for host in SshHost.objects.filter(folder=folder)]
    return sorted(rows, key=lambda row: order.index(HostState(row.host.state)))


_NOT_YET = "The host has not answered yet: nothing to compare."


def host_row(host: SshHost) -> HostRow:
    state = HostState(host.state)
    shown = HostState.ASKED if host.is_asked else state
    seen = host.seen_key
    waits = host.is_asked and seen is None
    words, agrees = (_NOT_YET, None) if waits else _console(host, seen)
    return HostRow(host, _KINDS[shown], _WORDS[shown], host.approved_key, seen, words, agrees)


def _console(host: SshHost, seen: PublicKey | None) -> tuple[str, bool | None]:
    if host.console_problem:
        return f"The console could not be read: {host.console_problem}", None
    if not host.instance_id:
        return (
            "No instance of these policies has this name or address: no console to compare.",
            None,
        )
    if not host.console:
        return f"The console of {host.instance_id} shows no fingerprints (any more).", None
    if seen is None:
        return f"The console of {host.instance_id} shows {', '.join(host.console)}.", None
    if seen.fingerprint in host.console:
        return f"The console of {host.instance_id} shows the same fingerprint.", True
    return f"The console of {host.instance_id} shows OTHER ones: {', '.join(host.console)}.", False


def policy_names(folder: Folder) -> list[str]:
    """Return the names of the policies whose scripts are in the folder."""
    return list(
        Policy.objects.filter(folder=folder).order_by("name").values_list("name", flat=True)
    )


def instance_ids(folder: Folder) -> list[str]:
    """Return the instances that these policies back up."""
    rows = PolicyTarget.objects.filter(policy__folder=folder).exclude(instance_id="")
    return sorted(set(rows.values_list("instance_id", flat=True)))
