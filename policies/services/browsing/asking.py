"""Asking for the files of a snapshot; a worker of this server opens it."""

from django.conf import settings
from django.db import transaction

from n2wbackup.lib import clock, home
from policies.adapters import broker
from policies.domain.errors import RefusedError
from policies.models import Copy, OpenedSnapshot, RunSnapshot, Server
from policies.services.servers import heart
from scripts_admin import permissions
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.services import audit

LARGEST = -1  # part of the disk
NOT_ALLOWED = (
    "Nobody has allowed that snapshots of {} are opened on this server, whose kernel then reads them: a superuser "
    "gives the permission 'Can have snapshots opened on this server' to that user in the administration."
)


def problem(snapshot: RunSnapshot, copy: Copy | None = None) -> str:
    """Return why nobody can open the snapshot, or its copy; "" if somebody may try.

    The snapshot must be read with its target and run.
    """
    run, image = snapshot.target.run, copy or snapshot
    if image.state != RunSnapshot.State.COMPLETED:
        return f"{image} is {image.state}: only the files of a completed snapshot can be seen."
    if run.ended_at is None:
        return f"Run {run.pk} has not ended: its files can be seen when it has."
    account = copy.account if copy else run.account
    if account is None or (copy and account.owner_id != run.owner_id):
        return f"The account with which {image} was made is deleted: nothing leads to it from here any more."
    if run.owner is None or not permissions.may_open_snapshots(run.owner):
        return NOT_ALLOWED.format(run.owner_name)
    return ""


def ask(
    snapshot: RunSnapshot, *, by: str, part: int = LARGEST, copy: Copy | None = None
) -> OpenedSnapshot:
    """Have the snapshot opened, or return the one that is open already; RefusedError if that cannot be done now.

    `copy`: of this snapshot; it is opened in its place.
    """
    why_not = problem(snapshot, copy)
    if why_not:
        raise RefusedError(why_not)
    server = home.server_id()
    heart.enter()
    with transaction.atomic():
        # Two people who ask at the same time stand in line here: so the limits below hold.
        Server.objects.select_for_update().get(pk=server)
        open_here = OpenedSnapshot.objects.filter(server=server, ended_at=None)
        found = open_here.filter(snapshot=snapshot, copy=copy, part=part).first()
        if found is not None:
            return found
        _refuse_too_many(snapshot, server)
        run, now = snapshot.target.run, clock.now()
        opened = OpenedSnapshot.objects.create(
            run=run,
            snapshot=snapshot,
            copy=copy,
            part=part,
            server=server,
            asked_by=by,
            asked_at=now,
            last_used_at=now,
            next_at=now,
        )
        record(Action.OPENED, opened)
        broker.on_commit(broker.OPEN_SNAPSHOT, opened.pk, server)
    return opened


def _refuse_too_many(snapshot: RunSnapshot, server: str) -> None:
    open_here = OpenedSnapshot.objects.filter(server=server, ended_at=None)
    if open_here.count() >= settings.N2W_OPENED_SNAPSHOTS:
        message = (
            f"{settings.N2W_OPENED_SNAPSHOTS} snapshots are open, and more are not opened at the same time: close one, "
            f"or wait until one was not used for {settings.N2W_OPENED_IDLE_MINUTES} minutes."
        )
        raise RefusedError(message)
    run = snapshot.target.run
    of_owner = open_here.filter(run__owner=run.owner_id).count()
    if of_owner >= settings.N2W_OPENED_OF_OWNER:
        message = f"{of_owner} snapshots of {run.owner_name} are open, and more are not opened: close one first."
        raise RefusedError(message)


def record(action: Action, opened: OpenedSnapshot, *changes: Change) -> None:
    """Enter in the audit what a person does with the files of a snapshot."""
    run, snapshot = opened.run, Change("snapshot", "", str(opened.image))
    audit.record(action, audit.subject(Kind.RUN, run, run.label), [snapshot, *changes])
