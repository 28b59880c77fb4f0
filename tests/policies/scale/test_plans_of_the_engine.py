"""What the ticks and turns ask is found by an index, however many runs there have been."""

from collections.abc import Callable

import pytest

from n2wbackup.lib import clock
from policies.models import Alarm, AlarmDelivery, Policy, Server
from policies.selectors import calendars
from policies.services.alarms import delivering
from policies.services.browsing import bringing, opening
from policies.services.document import exporting
from policies.services.due import hints, objectives, replanning, retrying, ticking
from policies.services.following import polling, reconciling, refreshing, tagging
from policies.services.proof import due, telling, working
from policies.services.retention import ages, sums
from policies.services.servers import copies, heart
from policies.services.watch import abandoned, adopting
from scripts_admin.models import User
from tests.bench.history.entered import BOSS
from tests.bench.history.runs import ELSEWHERE
from tests.ground import plans

pytestmark = pytest.mark.django_db


def look_after() -> None:
    heart.beat()
    heart.Others().look()
    adopting.adopt()


def _with_nothing_to_send(turn: Callable[[], object]) -> None:
    Alarm.objects.filter(spread_at=None).update(spread_at=clock.now())
    AlarmDelivery.objects.filter(ended_at=None).update(state="sent", ended_at=clock.now())
    turn()


def _proofs_by_schedule() -> None:
    Policy.objects.filter(pk__lt=4).update(proof_days=7, proof_level=0)
    due.tick()


TURNS: dict[str, Callable[[], object]] = {
    "hints": hints.resend,
    "retries": retrying.tick,
    "due times": ticking.tick,
    "polling": polling.poll,
    "tags": tagging.tag_due,
    "entering": abandoned.enter_all,
    "spreading": delivering.spread,
    "spreading nothing": lambda: _with_nothing_to_send(delivering.spread),
    "claiming": delivering.claim,
    "claiming nothing": lambda: _with_nothing_to_send(delivering.claim),
    "told": delivering.told,
    "servers": look_after,
    "copies": copies.enter,
    "ages": ages.tick,
    "sums": sums.tick,
    "proofs that died": working.tick,
    "proofs by schedule": _proofs_by_schedule,
    "tags of proofs": telling.tick,
    "calendar of a policy": lambda: calendars.of_policies([2]),
    "calendar of an owner": lambda: calendars.of_visible(User.objects.get(username="user1")),
    "calendar of all": lambda: calendars.of_visible(User.objects.get(username=BOSS)),
    "protection": objectives.tick,
    "opened snapshots": opening.tick,
    "files for instances": bringing.tick,
    "restore points": refreshing.tick,
    "reconciling": reconciling.reconcile,
    "planning": replanning.replan,
    "exporting": exporting.export,
}


# What people have entered is read as a whole where the answer is about all of it.
_ENTERED = {"policies_policy": "", "policies_policytarget": "", "policies_policy_schedules": ""}
WHOLE = {
    "proofs by schedule": _ENTERED,
    "reconciling": _ENTERED,
    "planning": _ENTERED,
    "exporting": _ENTERED,
}


@pytest.fixture
def _another() -> None:
    now = clock.now()
    Server.objects.create(
        pk=ELSEWHERE, host="b", version="1", first_seen_at=now, heartbeat_at=now, gone_at=now
    )


@pytest.fixture
def _outbox() -> None:
    """Have a message on its way, and one to be spread: with none, these turns ask nothing further."""
    alarm = Alarm.objects.order_by("-pk").values_list("pk", flat=True)[0]
    Alarm.objects.filter(pk=alarm).update(spread_at=None)
    delivery = AlarmDelivery.objects.order_by("-pk").values_list("pk", flat=True)[0]
    AlarmDelivery.objects.filter(pk=delivery).update(state="pending", ended_at=None)


@pytest.mark.usefixtures("history", "cloud", "_another", "_outbox")
@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_reads_no_table_that_grows(turn: str) -> None:
    assert not (found := plans.bad(TURNS[turn], WHOLE.get(turn))), "\n".join(map(str, found))
