"""The instances of a run, reached before its window opens: sessions opened, and scripts standing at their gates.

An instance that cannot be reached is backed up all the same, without its scripts: its snapshots are crash-consistent
at best, and the run says why.
"""

import base64
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from n2wbackup.lib import encrypted
from policies.domain.errors import BackupError
from policies.models import Account, Policy, Run, RunTarget
from policies.ports import Instance
from policies.services import runs
from policies.services.window import on_instances, over_ssm, scripts, ways
from policies.services.window.on_instances import OnInstance
from policies.services.window.preparing import Plan
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.domain.remote import By
from scripts_admin.guard import on_instances as recorded
from scripts_admin.guard.instances import Carried
from scripts_admin.models import Folder
from scripts_admin.runners import by_ssh, far
from scripts_admin.runners.addresses import Key, Way
from scripts_admin.runners.far import Order, Second, UnfitError
from scripts_admin.runners.refusals import HostKeyError
from scripts_admin.runners.starting import BY_SSH, Armed, Started

ARM_SECONDS = 45.0  # for all instances of a run together
PER_CARRIER = 25
_AT_ONCE = 16
_OF_INSTANCE = "N2W_INSTANCE_ID"


@dataclass(slots=True)
class _One:
    """One instance on its way to be armed. `problem` says why it is not.

    By SSH it has a way and a key, by SSM it has commands.
    """

    instance: str
    on: OnInstance
    nonce: str
    order: Order | None = None
    way: Way | None = None
    key: Key | None = None
    commands: over_ssm.Commands | None = None
    armed: Armed | None = None
    problem: str = ""

    @property
    def is_on_the_way(self) -> bool:
        return not self.problem and self.order is not None


@dataclass(slots=True)
class Reached:
    """The instances of a run: as its record has them, how to reach them again, and what holds their sessions."""

    instances: tuple[recorded.OnInstance, ...] = ()
    visits: dict[str, Any] = field(default_factory=dict)
    carriers: list[tuple[Started, list[str]]] = field(default_factory=list)

    def hand_over(self) -> list[Carried]:
        """Return the carriers for the guard, who alone has them then."""
        return [started.hand_over(names) for started, names in self.carriers]

    def close(self) -> None:
        """End what nobody has taken over: the gates close, and nothing has run."""
        for started, _ in self.carriers:
            started.close()


@contextmanager
def reached(plan: Plan) -> Iterator[Reached]:
    """Arm the instances of a run for the block."""
    found = Reached()
    try:
        _reach(plan, found)
        yield found
    finally:
        found.close()


def _reach(plan: Plan, found: Reached) -> None:
    run, policy = plan.run, plan.policy
    wanted = on_instances.find(run, policy) if plan.rows else {}
    every = [
        _One(instance, on, secrets.token_hex(16))
        for instance, on in wanted.items()
        if instance in plan.rows and (on.carried or on.problems)
    ]
    places: dict[tuple[str, str], over_ssm.Place] = {}
    for one in every:
        _prepare(one, plan, places)
    _get_keys([one for one in every if one.is_on_the_way])
    _arm(run, policy, found, [one for one in every if one.is_on_the_way])
    found.instances = tuple(_recorded(one, run, policy) for one in every)
    found.visits = {one.instance: _visit(one, run) for one in every if one.armed}
    _tell(run, plan.rows, policy.folder, every)


def _prepare(one: _One, plan: Plan, places: dict[tuple[str, str], over_ssm.Place]) -> None:
    """Work out what to send, and where to; nobody is asked yet."""
    on, policy, account = one.on, plan.policy, plan.run.account
    if not on.carried:
        one.problem = " ".join(dict.fromkeys(on.problems.values()))
        return
    try:
        order = _order(one, plan.run, policy)
        far.program(order)
        if account is not None and on.remote.by == By.SSM:
            region = plan.instances[one.instance].region
            _command(one, account, order, _place(places, region, on.remote.document))
        elif account is not None:
            one.way = _way(policy, account, on, plan.instances[one.instance])
        one.order = order
    except (BackupError, UnfitError) as error:
        one.problem = str(error)


def _way(policy: Policy, account: Account, on: OnInstance, instance: Instance) -> Way:
    return ways.way(policy.folder, account, on.remote, instance)


def _place(
    places: dict[tuple[str, str], over_ssm.Place], region: str, document: str
) -> over_ssm.Place:
    new = over_ssm.Place(region, document, secrets.token_hex(16))
    return places.setdefault((region, document), new)


def _command(one: _One, account: Account, order: Order, place: over_ssm.Place) -> None:
    """Give it its commands: the agent names the instance, in the nonce and to the scripts."""
    before = one.on.carried.get(Phase.BEFORE)
    if before is not None:
        over_ssm.refuse_frozen_agent(account, place.region, one.instance, before)
    environment = {k: v for k, v in order.environment.items() if k != _OF_INSTANCE}
    shared = replace(order, nonce=place.nonce, environment=environment)
    one.commands, one.nonce = over_ssm.commands(place, shared), place.nonce + one.instance


def _order(one: _One, run: Run, policy: Policy) -> Order:
    found: dict[Phase, far.Script] = {}
    for phase, each in one.on.carried.items():
        path = one.on.remote.path(phase)
        found[phase] = far.Installed(path) if path else far.Carried(each.script, each.content)
    return Order(
        one.nonce,
        found.get(Phase.BEFORE),
        found.get(Phase.AFTER),
        scripts.words(run, policy) | {_OF_INSTANCE: one.instance},
        before_timeout=float(policy.before_timeout_seconds),
        after_timeout=float(policy.after_timeout_seconds),
        max_freeze=float(policy.max_freeze_seconds),
        retry=policy.thaw_retry_minutes * 60.0,
    )


def _get_keys(every: Sequence[_One]) -> None:
    """Have keys for all at the same time: EC2 Instance Connect is asked for each, and its key is valid for a minute."""
    if not every:
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(every)), thread_name_prefix="key") as pool:
        list(pool.map(_get_key, every))


def _get_key(one: _One) -> None:
    if one.way is None:
        return
    try:
        one.key = one.way.key(ways.hand(one.way))
    except BackupError as error:
        one.problem = str(error)


def _arm(run: Run, policy: Policy, found: Reached, every: Sequence[_One]) -> None:
    """Start the carriers, and wait until each instance is armed or refused."""
    by_name = {one.instance: one for one in every}
    _start_by_ssh(run, found, [one for one in every if one.way])
    commands = {one.instance: one.commands for one in every if one.commands}
    if commands and run.account is not None:
        found.carriers += over_ssm.carriers(run, policy, run.account, commands)
    host_keys: list[tuple[str, HostKeyError]] = []
    for started, _ in found.carriers:
        answers = started.answers(ARM_SECONDS)
        for name, armed in answers.armed.items():
            by_name[name].armed = armed
        for name, refusal in answers.refused.items():
            by_name[name].problem = refusal.why
            error = by_ssh.host_key_error(refusal.more)
            if error is not None:
                host_keys.append((name, error))
    ways.proved(policy.folder, [one.way for one in every if one.armed and one.way])
    if host_keys:
        ways.left_out(run, policy.folder, host_keys)


def _start_by_ssh(run: Run, found: Reached, every: Sequence[_One]) -> None:
    for start in range(0, len(every), PER_CARRIER):
        some = every[start : start + PER_CARRIER]
        orders = [_ordered(one) for one in some]
        document = by_ssh.document(str(run.pk), orders)
        names = [one.instance for one in some]
        found.carriers.append((Started(BY_SSH, document, names), names))


def _ordered(one: _One) -> dict[str, Any]:
    if one.order is None or one.way is None or one.key is None:
        raise ValueError(one.instance)
    programs = far.program(one.order), far.program(one.order, "look")
    return by_ssh.order(one.instance, one.nonce, *programs, one.way.address, one.key)


def _recorded(one: _One, run: Run, policy: Policy) -> recorded.OnInstance:
    names = {phase: each.script for phase, each in one.on.carried.items()}
    outcome = one.on.not_run.get(Phase.BEFORE, Outcome.CRASHED)
    return recorded.OnInstance(
        instance=one.instance,
        by=one.on.remote.by,
        nonce=one.nonce,
        folder=one.armed.folder if one.armed else "",
        boot=one.armed.boot if one.armed else "",
        before=names.get(Phase.BEFORE, ""),
        after=names.get(Phase.AFTER, ""),
        before_seconds=float(policy.before_timeout_seconds),
        after_seconds=float(policy.after_timeout_seconds),
        armed=one.armed is not None,
        outcome="" if one.armed else str(outcome),
        argument=on_instances.argument(run),
    )


def _visit(one: _One, run: Run) -> Mapping[str, Any]:
    """Return what a second session needs, without the database; what is secret in it is sealed."""
    by = {"by": str(one.on.remote.by)}
    if one.commands is not None and run.account is not None:
        return {**by, **over_ssm.visit(run.account, one.commands)}
    if one.order is None or one.way is None or one.armed is None:
        raise ValueError(one.instance)
    text = far.program(one.order, "look", Second(one.armed.folder, one.armed.boot))
    return {
        **by,
        "nonce": one.nonce,
        "way": one.way.to_spool(encrypted.seal),
        "program": base64.b64encode(text).decode(),
    }


def _tell(run: Run, rows: Mapping[str, RunTarget], folder: Folder, every: Sequence[_One]) -> None:
    """Enter what was carried to each instance, and why scripts do not run there. Nothing is frozen yet."""
    for one in every:
        if one.problem and not one.on.problems:
            one.on.problems[Phase.AFTER if on_instances.argument(run) else Phase.BEFORE] = (
                one.problem
            )
        target = rows[one.instance]
        on_instances.note(target, one.on, folder)
        for text in dict.fromkeys(one.on.problems.values()):
            runs.record(run, f"{target}: {text}")
