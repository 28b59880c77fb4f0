"""Due policies that need a run and nothing else, settled together; all others are left to `ticking.settle`.

Two hundred policies that are due in the same second are the usual night. Each by itself would take ten statements and
a message; together they take about as many as one.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db import transaction

from n2wbackup.lib import outages
from policies.domain.schedules import reckoning
from policies.domain.schedules.reckoning import Reckoning
from policies.domain.schedules.schedule import Rule
from policies.models import Policy
from policies.services import starting
from policies.services.due import rules
from policies.services.starting import Wanted

log = logging.getLogger(__name__)

_Same = tuple[frozenset[tuple[str, Rule]], datetime]


class _ChangedError(Exception):
    """Another process has settled one of them meanwhile: all that was written here is taken back."""


def settle(keys: Sequence[int], now: datetime) -> set[int]:
    """Queue the runs of those that are plainly due; return them. The caller has opened a transaction.

    Whatever goes wrong takes all of it back, and nobody is returned: each is then settled by itself, so one policy
    that cannot be settled holds up no other.
    """
    try:
        with transaction.atomic():
            return _settle(keys, now)
    except outages.AWAY:
        raise
    except Exception as error:  # noqa: BLE001 - whose fault it is comes out when each is settled by itself
        log.warning("%s due policies are settled one by one: %r", len(keys), error)
        return set()


def _settle(keys: Sequence[int], now: datetime) -> set[int]:
    plain = list(_plain(keys, now))
    held = starting.standing_in_the_way([wanted for wanted, _ in plain]) if plain else set()
    free = [each for each in plain if each[0].policy.pk not in held]
    turns = {key: turn for turn, key in enumerate(keys)}
    free.sort(key=lambda each: turns[each[0].policy.pk])
    if not free:
        return set()
    _advance(free, now)
    starting.queue([wanted for wanted, _ in free])
    return {wanted.policy.pk for wanted, _ in free}


def _plain(keys: Sequence[int], now: datetime) -> Iterator[tuple[Wanted, datetime | None]]:
    """Yield what is due of those policies of which only a run is to be made, with their next due time."""
    rows = Policy.objects.select_for_update(of=("self",), skip_locked=True)
    rows = rows.select_related("owner", "account").defer("account__secret_access_key")
    rows = rows.filter(pk__in=keys, next_run_at__lte=now).prefetch_related("schedules")
    reckoned: dict[_Same, Reckoning] = {}
    for policy in rows.order_by("pk"):
        found = _reckon(policy, now, reckoned)
        if found and found.run and not (found.missed or found.skipped):
            yield Wanted(policy, found.run.at), found.next_at


def _reckon(policy: Policy, now: datetime, reckoned: dict[_Same, Reckoning]) -> Reckoning | None:
    """Reckon once for all policies that follow the same rules; None if this one is to be looked at by itself."""
    try:
        known, unknown = rules.known(policy.schedules.all())
        if unknown or policy.next_run_at is None:
            return None
        same = frozenset(known.items()), policy.next_run_at
        if same not in reckoned:
            reckoned[same] = reckoning.reckon(known, policy.next_run_at, now)
        return reckoned[same]
    except Exception:  # noqa: BLE001 - it is told when the policy is settled by itself
        return None


def _advance(free: Sequence[tuple[Wanted, datetime | None]], now: datetime) -> None:
    """Move the schedules on, each from the due time that was read: of two processes, one makes the runs."""
    moves: dict[tuple[datetime | None, datetime | None], list[int]] = defaultdict(list)
    for wanted, next_at in free:
        moves[wanted.policy.next_run_at, next_at].append(wanted.policy.pk)
    for (seen, next_at), keys in moves.items():
        same = Policy.objects.filter(pk__in=keys, next_run_at=seen)
        if same.update(next_run_at=next_at, planned_at=now) != len(keys):
            raise _ChangedError
