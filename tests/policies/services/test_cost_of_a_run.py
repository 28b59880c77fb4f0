"""What a whole run costs: counted, so that it cannot grow unnoticed. `make profile` says where a number comes from."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from policies import tasks
from policies.domain.runs.sequence import State
from policies.models import Run, Turn, VolumeFire
from policies.services.following import in_flight, tagging
from tests.ground import costs
from tests.policies.services.backup import Backup

pytestmark = pytest.mark.django_db(transaction=True)

# By step: statements, and commits that change something. Whoever makes a run cheaper lowers them; whoever has to
# raise one says in docs/adr why a run is worth it.
MOST = {
    "queue": (3, 1),
    "freeze": (24, 4),
    "poll": (18, 4),
    "complete": (23, 3),
}
# Of eight runs together, all of them: what follows the thaw costs hardly more than for one.
TOGETHER = 8
MOST_TOGETHER = {"poll": (18, 4), "complete": (24, 3)}
# What AWS is asked; to renew credentials asks nobody where an account has keys.
CALLS = ["instances", "volumes", "renew", "warm", "fire", "tag", "describe", "tag"]


class Meter:
    """Counts each step of a run."""

    def __init__(self) -> None:
        self.found: dict[str, costs.Costs] = {}

    def step(self, name: str, act: Callable[[], object]) -> None:
        with costs.counted() as cost:
            act()
        self.found[name] = cost


def test_a_run_costs_no_more_statements_and_commits_than_it_did(backup: Backup) -> None:
    backup.scripts()
    for _ in range(2):  # the first proves the permission, and enters texts and descriptions
        backup.to_end()
        tagging.tag_due()
        VolumeFire.objects.all().delete()  # else the next one waits
    backup.cloud.calls.clear()

    found = whole(backup)

    counts = {name: (cost.statements, cost.commits) for name, cost in found.items()}
    dear = [name for name, each in counts.items() if any(map(int.__gt__, each, MOST[name]))]

    assert not dear, counts
    assert [call.method for call in backup.cloud.calls] == CALLS


def test_eight_runs_together_cost_hardly_more_than_one(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LINGER_SECONDS", "AT_MOST_SECONDS"):
        monkeypatch.setattr(in_flight, name, 60.0)
    many = backup.others(TOGETHER)
    _together(backup, many)  # makes the rows of the day
    VolumeFire.objects.all().delete()

    found = _together(backup, many)

    counts = {name: (cost.statements, cost.commits) for name, cost in found.items()}
    dear = [name for name, at in counts.items() if any(map(int.__gt__, at, MOST_TOGETHER[name]))]

    assert not dear, (counts, [found[name].places for name in dear])
    assert [call.method for call in backup.cloud.calls] == ["tag", "describe", "tag"]
    assert set(Run.objects.values_list("state", flat=True)) == {State.SUCCEEDED}


def _together(backup: Backup, many: Sequence[Backup]) -> dict[str, costs.Costs]:
    """Take a run of each through its window, and all of them together from there to their ends."""
    meter, begun = Meter(), [each.window() for each in many]
    backup.cloud.advance()
    backup.cloud.calls.clear()
    an_hour_ago = {"taken_at": begun[0].created_at - timedelta(hours=1)}
    Turn.objects.update_or_create(pk="poll", defaults=an_hour_ago)
    meter.step("poll", tasks.poll)
    meter.step("complete", lambda: tasks.complete(*(str(run.pk) for run in begun)))
    return meter.found


def whole(backup: Backup) -> dict[str, costs.Costs]:
    """Take a run from its order to its end as the workers do, and return what each step cost."""
    meter, started = Meter(), list[Run]()
    meter.step("queue", lambda: started.append(backup.start()))
    run = started[0]
    meter.step("freeze", lambda: tasks.freeze(str(run.pk)))
    backup.cloud.advance()
    an_hour_ago = {"taken_at": run.created_at - timedelta(hours=1)}
    Turn.objects.update_or_create(pk="poll", defaults=an_hour_ago)
    meter.step("poll", tasks.poll)
    meter.step("complete", lambda: tasks.complete(str(run.pk)))
    run.refresh_from_db()
    assert (run.state, run.tags_due) == (State.SUCCEEDED, False)
    return meter.found
