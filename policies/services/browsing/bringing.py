"""Copying files of an opened snapshot to an instance over SSH, into a new folder there.

Instances are those of the run's policy that its scripts reach over SSH: so keys, approved host keys and the way
through a bastion are those of a run. Only the server that has the snapshot open does it.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, transaction

from n2wbackup.lib import claims, clock, each, home, outages
from n2wbackup.lib.cas import compare_and_set
from policies.adapters import broker
from policies.domain.browsing import paths
from policies.domain.browsing.states import Bringing
from policies.domain.errors import BackupError, RefusedError
from policies.models import BroughtFiles, OpenedSnapshot, Policy, PolicyTarget
from policies.ports.images import Entry
from policies.services.browsing import asking, copying, opening, using
from policies.services.browsing.copying import Copied, Heard
from policies.services.window import instances_of, ways
from scripts_admin import permissions
from scripts_admin.domain.audit import Action, Change
from scripts_admin.domain.remote import By
from scripts_admin.runners import bringing, refusals, ssh
from scripts_admin.runners.addresses import Way
from scripts_admin.runners.bringing import NotBroughtError

log = logging.getLogger(__name__)

CLAIM = timedelta(minutes=2)  # renewed while it goes on
_RENEWED_EVERY = timedelta(seconds=5)
_PAUSE = timedelta(seconds=20)
AT_ONCE = 2  # of this server, so that its workers have time for backups
OPEN_SECONDS = 20.0
LONGEST_FOLDER = 1024
_LOST = "The process that copied them has ended. Look at the folder, and copy what is missing."


def places(row: OpenedSnapshot) -> Sequence[PolicyTarget]:
    """Return the instances to which files of the snapshot can be copied."""
    policy = row.run.policy
    if policy is None:
        return ()
    return [each for each in policy.targets.order_by("instance_id") if each.remote.by == By.SSH]


def check(above: str) -> str:
    """Return why the folder cannot be named as the one that gets the new one; "" if it can."""
    parts = above.split("/")
    if not above.startswith("/") or len(above) > LONGEST_FOLDER or not above.isprintable():
        return "Write the whole path of a folder that is on the instance, such as /home/ec2-user."
    if ".." in parts or "." in parts:
        return "Write the path without '.' and '..'."
    return ""


def ask(
    row: OpenedSnapshot, wanted: Sequence[bytes], target: PolicyTarget, above: str, *, by: str
) -> BroughtFiles:
    """Have the files copied; RefusedError, and nothing done, if that cannot be done now."""
    tree = using.tree(row)
    why_not = check(above) or (
        "" if target in places(row) else "That is no instance of the policy."
    )
    if why_not:
        raise RefusedError(why_not)
    for path in wanted:
        tree.stat(path)
    now, tokens = clock.now(), [paths.token(path) for path in wanted]
    try:
        with transaction.atomic():
            brought = BroughtFiles.objects.create(
                opened=row,
                asked_by=by,
                instance_id=target.instance_id,
                region=target.region,
                paths=tokens,
                above=above,
                asked_at=now,
                next_at=now,
            )
            said = ", ".join(paths.shown_path(path) for path in wanted)
            what, where = Change("path", "", said), Change("to", "", f"{target}:{above}")
            asking.record(Action.BROUGHT_BACK, row, what, where)
            broker.on_commit(broker.BRING_FILES, brought.pk, row.server)
    except IntegrityError:
        raise RefusedError(
            "Files of this snapshot are being copied already: wait until that is over."
        ) from None
    return brought


def work(brought_id: UUID) -> None:
    """Copy what was asked for, if it is due and nobody else has it. Whatever goes wrong, it comes to its end."""
    brought = _claim(brought_id)
    if brought is None:
        return
    done = Copied()
    try:
        done = _Bringer(brought).bring()
    except outages.AWAY:
        raise
    except (BackupError, NotBroughtError, refusals.RefusedError) as error:
        _end(brought, Bringing.FAILED, f"{error}{_what_is_there(brought)}")
    except OSError as error:
        said = f"The instance takes no more ({error.strerror or error})."
        _end(brought, Bringing.FAILED, f"{said}{_what_is_there(brought)}")
    except Exception as error:
        log.exception("%s met an error", brought)
        said = f"This met an error that nobody foresaw ({outages.named(error)}): look at the server's log."
        _end(brought, Bringing.FAILED, f"{said}{_what_is_there(brought)}")
    else:
        _end(brought, Bringing.DONE, done.problem, done)


def _what_is_there(brought: BroughtFiles) -> str:
    return f" What was copied until then is in {brought.folder}." if brought.folder else ""


def _claim(brought_id: UUID) -> BroughtFiles | None:
    now = clock.now()
    rows = BroughtFiles.objects.select_related(
        "opened__run__policy__owner",
        "opened__run__policy__folder",
        "opened__run__policy__account__owner",
        "opened__run__owner",
        "opened__snapshot",
    )
    found = rows.filter(pk=brought_id, opened__server=home.server_id(), ended_at=None).first()
    if found is None or not claims.is_due(found, now, CLAIM):
        return None
    if found.state == Bringing.COPYING:
        _end(found, Bringing.FAILED, _LOST)
        return None
    copying_now = BroughtFiles.objects.filter(state=Bringing.COPYING, ended_at=None)
    if copying_now.filter(opened__server=home.server_id()).count() >= AT_ONCE:
        return None  # a tick sends the hint again
    taken = claims.take(found, CLAIM, now, state=Bringing.COPYING, started_at=now)
    return found if taken else None


class _Bringer:
    """One copy on its way."""

    def __init__(self, brought: BroughtFiles) -> None:
        self._brought, self._renewed_at = brought, clock.now()
        self._row = brought.opened

    def bring(self) -> Copied:
        tree = using.tree(self._row)
        way = self._way()
        brought, key = self._brought, way.key(ways.hand(way))
        with ssh.open_session(way.address, key, OPEN_SECONDS) as session:
            name = f"n2w-restored-{brought.asked_at:%Y%m%dT%H%M%SZ}"
            folder = bringing.Folder(session, brought.above, name)
            brought.folder = folder.path
            self._renew(Copied())
            wanted = [paths.of_token(token) for token in brought.paths]
            return copying.copy(tree, wanted, _Into(folder, self._go_on), self._go_on)

    def _way(self) -> Way:
        policy, brought = self._policy(), self._brought
        if not permissions.may_run(policy.owner, policy.folder):
            message = f"{policy.owner} is not allowed to use the script folder {policy.folder}: nobody logs in for it."
            raise RefusedError(message)
        same = [
            one
            for one in places(self._row)
            if (one.instance_id, one.region) == (brought.instance_id, brought.region)
        ]
        if not same:
            raise RefusedError(f"{brought.instance_id} is no instance of the policy any more.")
        found = instances_of.targets(policy.account, same)[same[0].pk]
        if isinstance(found, str):
            raise RefusedError(found)
        return ways.way(policy.folder, policy.account, same[0].remote, found)

    def _policy(self) -> Policy:
        policy = self._row.run.policy
        if policy is None:
            raise RefusedError(
                "The policy is deleted, so nothing says how to log in to its instances."
            )
        return policy

    def _go_on(self, done: Copied) -> None:
        if abs(clock.now() - self._renewed_at) >= _RENEWED_EVERY:
            self._renew(done)

    def _renew(self, done: Copied) -> None:
        """Say that it goes on; RefusedError if somebody has ended it, or the snapshot is closed."""
        now, brought = clock.now(), self._brought
        opening.used(self._row)
        seen = {"next_at": brought.next_at, "ended_at": None, "opened__ended_at": None}
        self._renewed_at, next_at = now, now + CLAIM
        if not compare_and_set(
            BroughtFiles.objects.filter(pk=brought.pk),
            seen,
            next_at=next_at,
            folder=brought.folder,
            files=done.files,
            bytes=done.bytes,
            left_out=done.left_out,
        ):
            raise RefusedError("The snapshot was closed before everything was copied.")
        brought.next_at = next_at


class _Into:
    """The new folder, as `copying` writes into it; a large file is heard of while it is written."""

    def __init__(self, folder: bringing.Folder, heard: Heard) -> None:
        self._folder, self._heard = folder, heard
        self._done = Copied()

    def folder(self, path: bytes, mode: int) -> None:
        self._folder.folder(path, mode)

    def file(self, path: bytes, entry: Entry, mode: int, pieces: Iterator[bytes]) -> None:
        self._folder.file(path, entry.size, mode, entry.modified_at, self._told(pieces))
        self._done.files += 1
        self._done.bytes += entry.size

    def _told(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._heard(self._done)
            yield piece

    def drop(self, path: bytes) -> None:
        self._folder.drop(path)


def _end(brought: BroughtFiles, state: Bringing, sentence: str, done: Copied | None = None) -> bool:
    """End the row; whoever lost the claim enters nothing."""
    counts = {"files": done.files, "bytes": done.bytes, "left_out": done.left_out} if done else {}
    return claims.kept(
        brought,
        state=state,
        sentence=sentence,
        ended_at=clock.now(),
        folder=brought.folder,
        **counts,
    )


def tick() -> int:
    """Send each server to the copies that are due and have not begun, or whose worker has died."""
    lost = claims.due(clock.now() - _PAUSE, CLAIM + _PAUSE)
    due = BroughtFiles.objects.filter(lost, ended_at=None).order_by("next_at")
    return each.apart(list(due.values_list("pk", "opened__server")), _send, "copy %s")


def _send(found: tuple[UUID, str]) -> bool:
    broker.send(broker.BRING_FILES, *found)
    return True
