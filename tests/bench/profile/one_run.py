"""Runs of one policy, step by step, each step with what it costs."""

import cProfile
import io
import json
import os
import pstats
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

django.setup()

# Models can be imported only now.
from botocore.client import BaseClient  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402

from policies import tasks  # noqa: E402
from policies.adapters import broker  # noqa: E402
from policies.domain.runs.sequence import State  # noqa: E402
from policies.domain.runs.trigger import Trigger  # noqa: E402
from policies.models import Policy, Run, Turn, VolumeFire  # noqa: E402
from policies.services import runs  # noqa: E402
from tests.bench import processes  # noqa: E402
from tests.bench.office import desk  # noqa: E402
from tests.bench.tables import table  # noqa: E402
from tests.ground import costs  # noqa: E402

STEPS = ("queue", "freeze", "poll", "complete")
WARM_UP = 2
SCRIPT = "#!/bin/bash\n:\n"
POLLS = 100
PAUSE_SECONDS = 0.1
AN_HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Step:
    """What a step of one run took. `others`: the CPU seconds of the guard and its scripts."""

    cost: costs.Costs
    cpu: float
    others: float
    calls: Counter[str] = field(default_factory=Counter)


Found = dict[str, Step]


def prepare(instances: Sequence[str]) -> list[Policy]:
    """Make policies, and a few runs that do not count: they load code, and prove the permission."""
    call_command("migrate", verbosity=0)
    policies = _policies(instances)
    for _ in range(WARM_UP):
        _take(policies, cProfile.Profile(), "")
    return policies


def tell(policies: Sequence[Policy], number: int) -> None:
    """Print the medians of all steps together, as JSON."""
    found = [_take(policies, cProfile.Profile(), "") for _ in range(number)]
    told: dict[str, list[float]] = {
        "statements": [sum(step.cost.statements for step in one.values()) for one in found],
        "commits": [sum(step.cost.commits for step in one.values()) for one in found],
        "calls": [sum(step.calls.total() for step in one.values()) for one in found],
        "cpu": [sum(step.cpu for step in one.values()) for one in found],
    }
    print(json.dumps({name: statistics.median(values) for name, values in told.items()}))


def show(policies: Sequence[Policy], number: int, *, texts: bool, functions: str) -> None:
    """Take runs of the policies to their ends and print what one costs, by step, and all of them by place."""
    profile = cProfile.Profile(time.thread_time)
    found = [_take(policies, profile, functions) for _ in range(number)]
    print(_steps(found, len(policies)), _places(found[-1]), sep="\n\n")
    if texts:
        for name, step in found[-1].items():
            print(*(f"{name} | {place} | {sql}" for place, sql in step.cost.texts), sep="\n")
    if functions:
        out = io.StringIO()
        pstats.Stats(profile, stream=out).sort_stats("cumulative").print_stats(100)
        print(out.getvalue())


def _policies(instances: Sequence[str]) -> list[Policy]:
    names = [f"one{number}" for number, _ in enumerate(instances)]
    desk.enter("bench", dict(zip(names, instances, strict=True)))
    place = Path(settings.N2W_SCRIPTS_ROOT) / "bench"
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        for phase in ("before", "after", "complete"):
            script = place / f"{phase}_{name}.sh"
            script.write_text(SCRIPT, encoding="utf-8")
            script.chmod(0o755)
    return list(Policy.objects.select_related("owner", "account").filter(name__in=names))


def _take(policies: Sequence[Policy], profile: cProfile.Profile, wanted: str) -> Found:
    """Take one run of each policy to its end; they settle and complete together."""
    VolumeFire.objects.all().delete()  # a person's runs are further apart
    found: Found = {}

    def step(name: str, act: Callable[[], object]) -> None:
        found[name] = _step(act, profile if name == wanted else None)

    def each(act: Callable[[Run], object]) -> Callable[[], object]:
        return lambda: [act(run) for run in begun]

    begun = list[Run]()
    with broker.silenced():
        step(
            "queue",
            lambda: begun.extend(
                runs.start(policy=policy, trigger=Trigger.SCHEDULE) for policy in policies
            ),
        )
        step("freeze", each(lambda run: tasks.freeze(str(run.pk))))
        for _ in range(POLLS):
            Turn.objects.update(taken_at=begun[0].created_at - AN_HOUR)
            step("poll", tasks.poll)
            if not Run.objects.unfinished(State.WAITING).exists():
                break
            time.sleep(PAUSE_SECONDS)
        step("complete", lambda: tasks.complete(*(str(run.pk) for run in begun)))
    for run in begun:
        run.refresh_from_db()
        if (run.state, run.consistency) != ("succeeded", "application"):
            raise RuntimeError(f"The run is {run.state}, {run.consistency}: {run.reason}")
    return found


def _step(act: Callable[[], object], profile: cProfile.Profile | None) -> Step:
    with _calls() as calls, costs.counted() as cost:
        others, cpu = _others(), time.process_time()
        if profile is not None:
            profile.runcall(act)
        else:
            act()
        return Step(cost, time.process_time() - cpu, _others() - others, calls)


def _others() -> float:
    """Return the CPU seconds of all processes below this one; the clock of the kernel counts them in hundredths."""
    own = os.getpid()
    below = [pid for pid in processes.tree(own) if pid != own and "aws" not in processes.title(pid)]
    return sum(processes.cpu_seconds(below).values())


@contextmanager
def _calls() -> Iterator[Counter[str]]:
    """Give the calls to AWS within the block, by their names."""
    made: Counter[str] = Counter()
    clients: Any = BaseClient  # what it calls for each operation is not in its public types
    ask = clients._make_api_call

    def counting(client: Any, operation: str, given: Any) -> Any:
        made[operation] += 1
        return ask(client, operation, given)

    clients._make_api_call = counting
    try:
        yield made
    finally:
        clients._make_api_call = ask


def _steps(found: Sequence[Found], number: int) -> str:
    """Return what one run of so many costs."""
    head = ("step", "statements", "of these savepoints", "commits", "calls", "CPU ms", "guards, ms")
    rows = [_row(name, [one[name] for one in found], number) for name in STEPS]
    whole = [list(one.values()) for one in found]
    total = (
        "**a run**",
        *(
            f"**{statistics.median(values) / number:.3g}**"
            for values in (
                [sum(step.cost.statements for step in one) for one in whole],
                [sum(step.cost.savepoints for step in one) for one in whole],
                [sum(step.cost.commits for step in one) for one in whole],
                [sum(step.calls.total() for step in one) for one in whole],
            )
        ),
        f"**{_spread([sum(step.cpu for step in one) / number for one in whole])}**",
        f"**{1000 * statistics.mean(sum(step.others for step in one) for one in whole) / number:.1f}**",
    )
    return table(head, [*rows, total])


def _row(name: str, steps: Sequence[Step], number: int) -> tuple[str, ...]:
    counts = (
        [step.cost.statements for step in steps],
        [step.cost.savepoints for step in steps],
        [step.cost.commits for step in steps],
    )
    return (
        name,
        *(f"{statistics.median(values) / number:.3g}" for values in counts),
        ", ".join(sorted(steps[-1].calls)) or "-",
        _spread([step.cpu / number for step in steps]),
        f"{1000 * statistics.mean(step.others for step in steps) / number:.1f}",
    )


def _spread(values: Sequence[float]) -> str:
    ordered = sorted(1000 * value for value in values)
    low, high = ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]
    return f"{statistics.median(ordered):.1f} ({low:.1f}-{high:.1f})"


def _places(found: Found) -> str:
    counts = Counter[tuple[str, str]]()
    for name, step in found.items():
        counts.update({(name, place): number for place, number in step.cost.places.items()})
    rows = [(str(number), name, place) for (name, place), number in counts.most_common()]
    return table(("statements", "step", "place"), rows)
