"""The hosts of a folder's scripts: a worker asks for a key, and a person approves it.

Only an approved key gets into known_hosts. Nothing else ever does, and no setting skips the check.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from n2wbackup.lib import clock
from scripts_admin.domain import ssh
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.domain.ssh import NotAKeyError, PublicKey
from scripts_admin.hosts import asking
from scripts_admin.hosts.asking import Answer, NotAskedError
from scripts_admin.models import Folder, HostQuestion, HostState, SshHost, User
from scripts_admin.services import audit, ssh_files
from scripts_admin.services.audit import Subject

ASK_SECONDS = 5.0  # for each step
LOST = timedelta(
    minutes=2
)  # a worker that has taken a question and not answered it by then is gone
WITHIN = timedelta(minutes=10)
MOST_OF_FOLDER, MOST_OF_ALL = 10, 60  # questions within that time
MOST_HOSTS = 200  # of a folder


class HostRefusedError(Exception):
    """Nothing was changed; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Console:
    """What the console of a host's instance shows; `problem` is a sentence if nobody could look."""

    instance_id: str = ""
    text: str = ""
    problem: str = ""


# Finds the instance of a folder's policies: by its id if that is known, else by a name or an address of it.
Consoles = Callable[[Folder, str, Collection[str]], Console]


def add(
    folder: Folder, name: str, port: int = ssh.DEFAULT_PORT, *, by: User | None, expected: str = ""
) -> SshHost:
    """List a host and let a worker ask for its key. With an expected fingerprint, the right key approves itself.

    HostRefusedError: the name, the port or the fingerprint is none, it is listed already, or too much was asked.
    """
    try:
        name, expected = ssh.host_name(name), ssh.fingerprint(expected) if expected else ""
    except NotAKeyError as error:
        raise HostRefusedError(str(error)) from None
    if not 1 <= port <= ssh.LAST_PORT:
        raise HostRefusedError(f"A port is a number from 1 to {ssh.LAST_PORT}.")
    if SshHost.objects.filter(folder=folder).count() >= MOST_HOSTS:
        raise HostRefusedError(f"A folder has {MOST_HOSTS} hosts at most: remove one first.")
    host = SshHost(folder=folder, name=name, port=port, added_at=clock.now(), added_by=_name(by))
    host.expected, host.expected_by = expected, _name(by) if expected else ""
    try:
        with transaction.atomic():
            _count(folder)
            host.asked_at = clock.now()
            host.save(force_insert=True)
            _record(
                Action.CREATED, host, by, [Change("expected", "", expected)] if expected else []
            )
    except IntegrityError:
        raise HostRefusedError(f"{host} is listed already: ask for its key there.") from None
    return host


@transaction.atomic
def show(folder: Folder, name: str, port: int, key: str, instance_id: str = "") -> None:
    """List the key of a host that only a session through a bastion reaches, for a person to compare and approve.

    A host that somebody has refused or approved stays as it is. HostRefusedError: the folder has too many hosts.
    """
    rows = SshHost.objects.select_for_update(of=("self",)).filter(folder=folder)
    host = rows.filter(name=name, port=port).first()
    if host is None:
        if rows.count() >= MOST_HOSTS:
            raise HostRefusedError(f"A folder has {MOST_HOSTS} hosts at most: remove one first.")
        by = _name(None)
        host = SshHost(folder=folder, name=name, port=port, added_at=clock.now(), added_by=by)
        host.instance_id = instance_id
        _record(Action.CREATED, host, None)
    elif host.key or host.state == HostState.REFUSED or host.seen == key:
        return
    host.state, host.problem = HostState.SEEN, ""
    host.seen, host.seen_at = key, clock.now()
    host.asked_at = host.taken_at = None
    host.save()


@transaction.atomic
def ask(host: SshHost, *, by: User | None) -> None:
    """Let a worker ask the host for its key again; HostRefusedError if too much was asked."""
    if not SshHost.objects.filter(pk=host.pk, asked_at=None).exists():
        return
    _count(host.folder)
    SshHost.objects.filter(pk=host.pk, asked_at=None).update(asked_at=clock.now(), taken_at=None)
    _record(Action.ASKED, host, by)


def _count(folder: Folder) -> None:
    """Count a question; HostRefusedError past the limits. The lock lets the questions of a folder come one by one."""
    Folder.objects.select_for_update().get(pk=folder.pk)
    now = clock.now()
    HostQuestion.objects.filter(Q(at__lt=now - WITHIN) | Q(at__gt=now + clock.SKEW)).delete()
    of_folder = HostQuestion.objects.filter(folder=folder)
    for asked, most, whose in (
        (of_folder, MOST_OF_FOLDER, "for these scripts"),
        (HostQuestion.objects.all(), MOST_OF_ALL, "on this server"),
    ):
        if asked.count() >= most:
            raise HostRefusedError(
                f"{most} keys were asked for within {WITHIN.seconds // 60} minutes {whose}, which is the "
                "most: try again later."
            )
    HostQuestion.objects.create(folder=folder, at=now)


def due() -> list[UUID]:
    """Return the hosts that are to be asked, and that no living worker asks."""
    free = Q(taken_at=None) | Q(taken_at__lt=clock.now() - LOST)
    return list(SshHost.objects.filter(free, asked_at__isnull=False).values_list("pk", flat=True))


def fetch(host_id: UUID, consoles: Consoles) -> None:
    """Ask the host for its key and enter the answer; nothing if another worker has the question."""
    now = clock.now()
    free = Q(taken_at=None) | Q(taken_at__lt=now - LOST)
    rows = SshHost.objects.filter(free, pk=host_id, asked_at__isnull=False)
    if not rows.update(taken_at=now):
        return
    host = SshHost.objects.select_related("folder__owner").get(pk=host_id)
    answer: Answer | None = None
    problem = ""
    try:
        answer = asking.ask(host.name, host.port, ASK_SECONDS, kinds(host), whom=host.folder_id)
    except NotAskedError as error:
        problem = str(error)
    names = {host.name, answer.address} if answer else {host.name}
    console = consoles(host.folder, host.instance_id, names)
    enter(host_id, answer.key if answer else None, problem, console, taken_at=now)


def kinds(host: SshHost) -> tuple[str, ...]:
    """Return the kinds of keys to ask for: the approved one first, so that a host with several shows that."""
    approved = host.approved_key
    return tuple(dict.fromkeys((*([approved.kind] if approved else []), *ssh.KINDS)))


@transaction.atomic
def enter(
    host_id: UUID, key: PublicKey | None, problem: str, console: Console, *, taken_at: datetime
) -> None:
    """Enter a worker's answer, unless the question was taken over by another one."""
    rows = SshHost.objects.select_for_update(of=("self",)).select_related("folder__owner")
    host = rows.filter(pk=host_id, taken_at=taken_at).first()
    if host is None:
        return
    host.asked_at = host.taken_at = None
    host.instance_id = host.instance_id or console.instance_id
    host.console, host.console_problem = ssh.fingerprints_on(console.text), console.problem
    host.problem = problem
    if key is None:
        if not host.key and host.state != HostState.REFUSED:
            host.state = HostState.SILENT
        host.save()
        return
    host.seen, host.seen_at = str(key), clock.now()
    _judge(host, key)
    host.save()


def _judge(host: SshHost, key: PublicKey) -> None:
    """Decide what the key that the host showed means."""
    if host.key == str(key):
        host.state = HostState.APPROVED
    elif host.expected and host.expected == key.fingerprint:
        _approve(host, host.expected_by, reason="the fingerprint that was pasted before")
    elif host.expected:
        host.state = HostState.CHANGED if host.key else HostState.REFUSED
        host.problem = (
            f"THE WRONG KEY: {host} shows {key.fingerprint}, and {host.expected} was expected. Somebody else may "
            "be answering in its place: do not approve it before you know why."
        )
    elif host.key:
        host.state, host.problem = HostState.CHANGED, changed(host, key)
    else:
        host.state = HostState.SEEN


def changed(host: SshHost, key: PublicKey) -> str:
    """Return the sentence about a host that shows another key than the approved one."""
    old = host.approved_key
    return (
        f"The host key of {host} has changed: it shows {key.fingerprint}, and "
        f"{old.fingerprint if old else 'none'} is approved. Somebody else may be answering in its place, or it "
        "was built anew."
    )


@transaction.atomic
def approve(host: SshHost, fingerprint: str, *, by: User | None) -> None:
    """Approve the key with this fingerprint, which the host showed last; HostRefusedError if it was another one."""
    row = _locked(host)
    seen = row.seen_key
    if seen is None or seen.fingerprint != fingerprint:
        raise HostRefusedError(
            f"{row} does not show the key {fingerprint} any more, so nothing was approved: look at it again."
        )
    _approve(row, _name(by), person=by)
    row.save()


def _approve(host: SshHost, name: str, *, person: User | None = None, reason: str = "") -> None:
    old, new = host.approved_key, host.seen_key
    host.state, host.key, host.problem = HostState.APPROVED, host.seen, ""
    host.approved_at, host.approved_by = clock.now(), name
    host.expected = host.expected_by = ""
    said = Change("fingerprint", *(each.fingerprint if each else "" for each in (old, new)))
    _record(Action.APPROVED, host, person, [said], name="" if person else name, reason=reason)
    ssh_files.soon(host.folder)


@transaction.atomic
def refuse(host: SshHost, *, by: User | None) -> None:
    """Refuse the key that the host shows. A changed host keeps its approved key; an approved one loses it."""
    row = _locked(host)
    seen = row.seen_key or row.approved_key
    keeps = row.state == HostState.CHANGED
    row.state = HostState.APPROVED if keeps else HostState.REFUSED
    row.key, row.problem = row.key if keeps else "", ""
    _record(Action.REFUSED, row, by, [Change("fingerprint", seen.fingerprint if seen else "", "")])
    row.seen = row.key
    row.save()
    ssh_files.soon(row.folder)


@transaction.atomic
def expect(host: SshHost, fingerprint: str, *, by: User | None) -> SshHost:
    """Compare the host with a fingerprint that a person has from elsewhere: a match approves, and nothing else does.

    HostRefusedError: it is no fingerprint. Without a key to compare, the next answer is compared.
    """
    try:
        wanted = ssh.fingerprint(fingerprint)
    except NotAKeyError as error:
        raise HostRefusedError(str(error)) from None
    row = _locked(host)
    row.expected, row.expected_by, row.problem = wanted, _name(by), ""
    _record(Action.CHANGED, row, by, [Change("expected", "", wanted)])
    seen = row.seen_key
    if row.key and row.approved_key and row.approved_key.fingerprint == wanted:
        row.expected = row.expected_by = ""
    elif seen is not None:
        _judge(row, seen)
    row.save()
    return row


@transaction.atomic
def tie(host: SshHost, policies: Collection[str], instance_id: str, *, by: User | None) -> None:
    """Say which runs need the host: of these policies, else of this instance, else all of the folder."""
    row = _locked(host)
    old = {"policies": row.policies, "instance": row.instance_id}
    row.policies, row.instance_id = sorted(set(policies)), instance_id
    changes = [
        Change(field, str(before or ""), str(after or ""))
        for (field, before), after in zip(old.items(), (row.policies, instance_id), strict=True)
        if before != after
    ]
    if changes:
        _record(Action.CHANGED, row, by, changes)
        row.save()


def rename_policy(folder: Folder, old: str, new: str) -> None:
    """Let the hosts of a policy follow its new name."""
    if old == new:
        return
    for host in SshHost.objects.filter(folder=folder):
        if old in host.policies:
            host.policies = sorted(new if name == old else name for name in host.policies)
            host.save(update_fields=["policies"])


@transaction.atomic
def remove(host: SshHost, *, by: User | None) -> None:
    """Take the host off the list: scripts reach it no longer."""
    _record(Action.REMOVED, host, by)
    SshHost.objects.filter(pk=host.pk).delete()
    ssh_files.soon(host.folder)


def _locked(host: SshHost) -> SshHost:
    rows = SshHost.objects.select_for_update(of=("self",)).select_related("folder__owner")
    found = rows.filter(pk=host.pk).first()
    if found is None:
        raise HostRefusedError(f"{host} was removed meanwhile.")
    return found


def _record(
    action: Action,
    host: SshHost,
    by: User | None,
    changes: Collection[Change] = (),
    *,
    name: str = "",
    reason: str = "",
) -> None:
    folder = host.folder
    about = Subject(Kind.SSH_HOST, f"{folder}: {host}", str(host.pk), folder.owner_id)
    audit.record(action, about, changes, person=by, name=name, reason=reason)


def _name(by: User | None) -> str:
    return by.username if by is not None else audit.edge().name
