"""The drill of a policy's instances: each is logged in to as a run would, with the same keys, hosts and permissions."""

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from policies.domain import trials
from policies.domain.errors import BackupError
from policies.domain.trials import Verdict
from policies.models import Account, Policy, PolicyTarget
from policies.services.trials.found import Found
from policies.services.window import instances_of, ways
from scripts_admin import permissions
from scripts_admin.runners import by_ssh, drilling
from scripts_admin.runners.addresses import Way
from scripts_admin.runners.drilling import Drilled, NotDrilledError
from scripts_admin.runners.refusals import HostKeyError, RefusedError
from scripts_admin.runners.ssh import Opener
from scripts_admin.runners.wires import Begun

_AT_ONCE = 16
_NOT_ALLOWED = "{} is not allowed to use the script folder {}: nothing is run on its instances."


@dataclass(slots=True)
class _One:
    """One instance on its way: how to get there, and what came of it."""

    target: PolicyTarget
    way: Way | None = None
    drilled: Drilled | None = None
    problem: str = ""
    host_key: HostKeyError | None = None

    def is_refused(self, why: str) -> None:
        self.problem = why


def drill(policy: Policy, account: Account, targets: Sequence[PolicyTarget]) -> list[Found]:
    """Drill these instances, all at the same time; takes less than two minutes. Nothing is frozen."""
    every = [_One(target) for target in targets if trials.can_be_drilled(target.remote.by)]
    if not permissions.may_run(policy.owner, policy.folder):
        for one in every:
            one.problem = _NOT_ALLOWED.format(policy.owner, policy.folder)
    else:
        _find_ways(policy, account, every)
    ready = [one for one in every if not one.problem]
    if ready:
        opener = Opener()
        try:
            with ThreadPoolExecutor(min(_AT_ONCE, len(ready)), thread_name_prefix="drill") as pool:
                list(pool.map(partial(_drill, opener), ready))
        finally:
            opener.close()
        _enter_keys(policy, ready)
    skipped = [each for each in targets if not trials.can_be_drilled(each.remote.by)]
    return [*map(_found, every), *map(_not_possible, skipped)]


def _find_ways(policy: Policy, account: Account, every: Sequence[_One]) -> None:
    there = instances_of.targets(account, [one.target for one in every])
    for one in every:
        found = there[one.target.pk]
        if isinstance(found, str):
            one.problem = found
            continue
        try:
            one.way = ways.way(policy.folder, account, one.target.remote, found)
        except BackupError as error:
            one.problem = str(error)


def _drill(opener: Opener, one: _One) -> None:
    if one.way is None:
        raise ValueError(one.target)
    try:
        order = drilling.order(secrets.token_hex(16))
        one.drilled = drilling.drill(order, partial(_begin, opener, one.way))
    except NotDrilledError as error:
        one.problem = f"Nothing could be armed on {one.target}: {error}"
    except HostKeyError as error:
        one.problem, one.host_key = str(error), error
    except (BackupError, RefusedError) as error:
        one.problem = str(error)


def _begin(opener: Opener, way: Way, text: bytes) -> Begun:
    """Open a session of its own; with EC2 Instance Connect, each gets a key of its own."""
    return by_ssh.begin(opener, way.address, way.key(ways.hand(way)), text)


def _enter_keys(policy: Policy, every: Sequence[_One]) -> None:
    """Enter which hosts showed which keys: as after a run, only without its alarm."""
    ways.proved(policy.folder, [one.way for one in every if one.drilled and one.way])
    for one in every:
        if one.host_key is not None:
            ways.enter_key(policy.folder, one.target.instance_id, one.host_key)


def _found(one: _One) -> Found:
    if one.drilled is None:
        return Found(one.target, Verdict.FAILED, one.problem)
    user = one.way.address.user if one.way else ""
    verdict, sentence = trials.judged(one.drilled.by, one.drilled.state, str(one.target), user)
    return Found(one.target, verdict, sentence, thaw_by=one.drilled.by)


def _not_possible(target: PolicyTarget) -> Found:
    return Found(target, Verdict.NOT_POSSIBLE, trials.NO_DRILL_BY_SSM)
