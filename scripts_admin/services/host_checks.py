"""Before a run freezes anything, its hosts are asked whether they still show their approved keys."""

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from n2wbackup.lib import clock
from n2wbackup.lib.cas import compare_and_set
from scripts_admin.domain import ssh
from scripts_admin.domain.ssh import PublicKey
from scripts_admin.hosts import asking
from scripts_admin.hosts.asking import NotAskedError
from scripts_admin.models import Folder, HostState, SshHost
from scripts_admin.services import hosts

SECONDS = 5.0  # for all hosts of a run together
STEP_SECONDS = 3.0
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Changed:
    """A host that shows another key than the approved one; `is_new` if nobody was told of this key yet."""

    host: SshHost
    sentence: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What the hosts of a run answered. A silent one is no changed one: its scripts will say what they miss."""

    changed: tuple[Changed, ...] = ()
    silent: tuple[str, ...] = ()


def of_run(folder: Folder, policy: str, instance_ids: Collection[str]) -> list[SshHost]:
    """Return the approved hosts that the policy's scripts may log in to.

    A host that is tied to policies is needed by these; else one that is an instance, by the policies that back
    that instance up; any other by every policy of the folder.
    """
    rows = (host for host in folder.ssh_hosts.all() if host.key)
    return [host for host in rows if _is_needed(host, policy, instance_ids)]


def _is_needed(host: SshHost, policy: str, instance_ids: Collection[str]) -> bool:
    if host.policies:
        return policy in host.policies
    return not host.instance_id or host.instance_id in instance_ids


def check(wanted: Collection[SshHost]) -> Found:
    """Ask all hosts at the same time, for `SECONDS` at most, and enter what has changed."""
    if not wanted:
        return Found()
    pool = ThreadPoolExecutor(min(_AT_ONCE, len(wanted)), thread_name_prefix="host key")
    try:
        asked = {host.pk: pool.submit(_ask, host) for host in wanted}
        wait(asked.values(), timeout=SECONDS)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # each thread has a bound of its own
    changed, silent = [], []
    for host in wanted:
        key = _answer(asked[host.pk])
        if key is None:
            silent.append(str(host))
        elif str(key) != host.key:
            changed.append(_enter(host, key))
        elif host.state == HostState.CHANGED:
            _enter_same(host, key)
    return Found(tuple(changed), tuple(silent))


def _ask(host: SshHost) -> PublicKey | None:
    """Return the key that the host shows; no database here, this is a thread of a moment."""
    try:
        return asking.ask(
            host.name, host.port, STEP_SECONDS, hosts.kinds(host), whom=host.folder_id
        ).key
    except NotAskedError:
        return None


def _answer(asked: Future[PublicKey | None]) -> PublicKey | None:
    return asked.result() if asked.done() and not asked.cancelled() else None


def enter_changed(folder: Folder, name: str, port: int, shown: str) -> Changed | None:
    """Enter that an approved host showed another key; None if the host is not approved any more, or shows it again.

    `shown` is empty if it has no key of the approved kind.
    """
    host = SshHost.objects.filter(folder=folder, name=name, port=port).exclude(key="").first()
    if host is None or host.key == shown:
        return None
    return _enter(host, ssh.public_key(shown)) if shown else Changed(host, "", is_new=True)


def enter_proved(folder: Folder, proved: Collection[tuple[str, int, str]]) -> None:
    """Enter that hosts, each a name, a port and an approved key, have proved that key: none of them is changed now."""
    if not proved:
        return
    for host in SshHost.objects.filter(folder=folder, state=HostState.CHANGED):
        if (host.name, host.port, host.key) in proved:
            _enter_same(host, ssh.public_key(host.key))


def _enter(host: SshHost, key: PublicKey) -> Changed:
    is_new = host.state != HostState.CHANGED or host.seen != str(key)
    sentence = hosts.changed(host, key)
    compare_and_set(
        SshHost.objects.filter(pk=host.pk),
        {"key": host.key},
        state=HostState.CHANGED,
        seen=str(key),
        seen_at=clock.now(),
        problem=sentence,
    )
    return Changed(host, sentence, is_new)


def _enter_same(host: SshHost, key: PublicKey) -> None:
    rows = SshHost.objects.filter(pk=host.pk)
    compare_and_set(
        rows,
        {"key": host.key},
        state=HostState.APPROVED,
        seen=str(key),
        seen_at=clock.now(),
        problem="",
    )
