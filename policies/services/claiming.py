"""Taking a queued run: read once, with all that its preparation needs, and taken only as it was read."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Cast

from n2wbackup.lib import clock, compiled, each, encrypted, home
from policies.domain.runs.sequence import Event, State
from policies.models import AlarmReceivers, PolicyTarget, Run, Server, WindowLease
from policies.services import aside, runs
from policies.services.alarms import raising
from policies.services.servers import heart
from scripts_admin.models import FormerFolder, SshHost, SshKey

# No run is deferred for longer. A row with a later time was written before the clock was set back.
LONGEST_DEFERRAL = timedelta(minutes=15)
_NO_PING = "whether anybody is pinged for run %s could not be asked; it goes on without"


def queued(run_id: UUID) -> Run | None:
    """Return a queued run whose time has come, with its policy, targets, folder, hosts and owners; else None.

    `run.around` says what else there is, so that nobody asks for what is not.
    """
    now = clock.now()
    run = _queued.first(run_id, now, now + LONGEST_DEFERRAL, home.server_id())
    if run is None:
        return None
    found: Any = run  # with the columns that the query adds
    run.around.update({name: getattr(run, name) for name in _AROUND})
    policy = run.policy
    if policy is not None:
        compiled.keep(policy, "targets", _targets(policy.pk))
        if not run.around["has_ssh_hosts"]:
            compiled.keep(policy.folder, "ssh_hosts", [])
    if run.account is not None and found.sealed is not None:
        # With a lost key it stays unread, and says so where it is asked for.
        with suppress(encrypted.DecryptionError):
            run.account.secret_access_key = encrypted.unseal(found.sealed)
    return run


@compiled.Reading
def _queued(run_id: UUID, now: datetime, latest: datetime, server: str) -> models.QuerySet[Run]:
    rows = Run.objects.select_related("policy__folder", "policy__owner", "owner", "account")
    rows = rows.defer("account__secret_access_key").annotate(
        sealed=Cast("account__secret_access_key", models.TextField()), **_around(server)
    )
    return rows.order_by().filter(~_deferred(now, latest), pk=run_id, state=State.QUEUED)


@compiled.Reading
def _targets(policy: int) -> models.QuerySet[PolicyTarget]:
    return PolicyTarget.objects.filter(policy=policy).order_by("pk")


_AROUND = (
    "has_ping",
    "has_receivers",
    "has_ssh_keys",
    "has_ssh_hosts",
    "has_former",
    "has_server",
    "has_other_servers",
    "has_competitors",
)


def _around(server: str) -> dict[str, Exists | Q]:
    """Return questions whose answer is nearly always no, or yes for the server itself: asked with the run."""
    folder, policy = OuterRef("policy__folder"), OuterRef("policy")
    owner = Q(policy=policy) | Q(user=OuterRef("policy__owner")) | Q(user__is_superuser=True)
    waiting_ones = Run.objects.unfinished(State.QUEUED, State.PREPARING).exclude(waiting_for="")
    return {
        "has_ping": Exists(AlarmReceivers.objects.filter(policy=policy, has_ping=True)),
        "has_receivers": Exists(AlarmReceivers.objects.filter(owner)),
        "has_ssh_keys": Exists(SshKey.objects.filter(folder=folder, slot__isnull=False)),
        "has_ssh_hosts": Exists(SshHost.objects.filter(folder=folder)),
        "has_former": Exists(
            FormerFolder.objects.filter(name=OuterRef("policy__folder__name"), is_set_aside=False)
        ),
        "has_server": Exists(Server.objects.filter(pk=server)),
        "has_other_servers": Exists(Server.objects.filter(removed_at=None).exclude(pk=server)),
        "has_competitors": Exists(WindowLease.objects.all()) | Exists(waiting_ones),
    }


def claim(run: Run) -> bool:
    """Take a queued run as it was read; False if another process has it, or has had it since then."""
    now = clock.now()
    is_first = run.started_at is None
    # Another one may have taken it and put it back since it was read: each of these tells.
    as_read = {name: getattr(run, name) for name in ("started_at", "not_before", "losses")}
    if not run.around.get("has_server"):
        heart.enter()
    may_ping = is_first and run.around.get("has_ping", True)
    pings = may_ping and each.apart([run], raising.has_ping, _NO_PING)
    with transaction.atomic():
        taken = runs.apply(
            run,
            Event.CLAIMED,
            "a worker took the run" if is_first else "",  # once, however often it has to wait
            expected=as_read,
            server=home.server_id(),
            started_at=run.started_at or now,
            spooled_at=None,
            not_before=None,
            mark=run.mark or runs.new_mark(),
        )
        run.around["was_prepared"] = not is_first
        if taken and pings:
            aside.do("the ping", lambda: raising.started(run, now), run)
    return taken


def take(run_id: UUID) -> Run | None:
    """Read a run and take it; None if it is not to be had."""
    run = queued(run_id)
    return run if run is not None and claim(run) else None


def waiting(now: datetime) -> Q:
    """Match the deferred runs that must not be taken yet."""
    return _deferred(now, now + LONGEST_DEFERRAL)


def _deferred(now: datetime, latest: datetime) -> Q:
    return Q(not_before__gt=now, not_before__lte=latest)
