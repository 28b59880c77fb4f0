"""What fills the outbox: who is told, and what there is to tell."""

from n2wbackup.lib import clock
from policies.domain.runs.sequence import Event, State
from policies.models import AlarmReceivers, Policy, Run
from policies.services import runs
from policies.services.alarms import receivers
from policies.services.watch import confirming
from scripts_admin.models import User
from tests import factories

TOKEN = "t0psecret-token"


def tell(url: str, *, user: User | None = None, policy: Policy | None = None) -> AlarmReceivers:
    found = receivers.of(user=user, policy=policy)
    receivers.save(found, {"urls": url})
    return found


def ping(policy: Policy, url: str) -> None:
    receivers.save(receivers.of(policy=policy), {"ping_url": url})


def fail(policy: Policy) -> None:
    run = factories.RunFactory.create(policy=policy, state=State.COMPLETING)
    assert runs.apply(run, Event.COMPLETED, "ended", end=State.FAILED, reason="AWS said no.")


def succeed(policy: Policy) -> None:
    run = factories.RunFactory.create(policy=policy, state=State.COMPLETING)
    assert runs.apply(run, Event.COMPLETED, "ended", end=State.SUCCEEDED)


def freeze(policy: Policy) -> None:
    run = factories.RunFactory.create(policy=policy, state=State.FROZEN)
    assert runs.apply(run, Event.THAW_FAILED, "after failed")


def thaw(policy: Policy) -> None:
    """Have a person confirm the thaw; nothing more is told of the runs."""
    policy.refresh_from_db()
    confirming.confirm(policy, by="alice")
    unfinished = Run.objects.filter(policy=policy, ended_at=None)
    unfinished.update(state=State.PARTIAL, ended_at=clock.now())
