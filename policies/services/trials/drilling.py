"""The drill of a policy's instances: each is logged in to as a run would, with the same keys, hosts and permissions."""

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from policies.adapters import session
from policies.domain import trials
from policies.domain.errors import BackupError
from policies.domain.trials import Verdict
from policies.models import Account, Policy, PolicyTarget
from policies.services.trials.found import Found
from policies.services.window import credentials, instances_of, ways
from scripts_admin import permissions
from scripts_admin.domain.remote import By
from scripts_admin.runners import by_ssh, drilling, drilling_over_ssm, ssm
from scripts_admin.runners.addresses import Way
from scripts_admin.runners.drilling import Drilled, NotDrilledError
from scripts_admin.runners.refusals import HostKeyError, RefusedError
from scripts_admin.runners.ssh import Opener
from scripts_admin.runners.ssm import AnswerLostError, NotSentError
from scripts_admin.runners.wires import Begun

AT_ONCE = 16
_NOT_ALLOWED = "{} is not allowed to use the script folder {}: nothing is run on its instances."


@dataclass(slots=True)
class _One:
    """One instance on its way: how to get there, and what came of it."""

    target: PolicyTarget
    way: Way | None = None
    drilled: Drilled | None = None
    client: ssm.Client | None = None  # where SSM is the way
    problem: str = ""
    host_key: HostKeyError | None = None


def drill(policy: Policy, account: Account, targets: Sequence[PolicyTarget]) -> list[Found]:
    """Drill these instances, AT_ONCE at a time, each in less than three minutes. Nothing is frozen."""
    every = [_One(target) for target in targets]
    if not permissions.may_run(policy.owner, policy.folder):
        for one in every:
            one.problem = _NOT_ALLOWED.format(policy.owner, policy.folder)
    else:
        _find_ways(policy, account, every)
    ready = [one for one in every if not one.problem]
    if ready:
        opener = Opener()
        try:
            with ThreadPoolExecutor(min(AT_ONCE, len(ready)), thread_name_prefix="drill") as pool:
                list(pool.map(partial(_drill, opener), ready))
        finally:
            opener.close()
        _enter_keys(policy, ready)
    return [_found(one) for one in every]


def _find_ways(policy: Policy, account: Account, every: Sequence[_One]) -> None:
    there = instances_of.targets(account, [one.target for one in every])
    for one in every:
        found = there[one.target.pk]
        if isinstance(found, str):
            one.problem = found
            continue
        remote = one.target.remote
        try:
            if remote.by == By.SSM:
                given = credentials.of(account)
                one.client = session.commands(given, one.target.region, remote.document)
            else:
                one.way = ways.way(policy.folder, account, remote, found)
        except BackupError as error:
            one.problem = str(error)


def _drill(opener: Opener, one: _One) -> None:
    nonce, instance = secrets.token_hex(16), one.target.instance_id
    try:
        if one.way is not None:
            order, begin = drilling.order(nonce), partial(_begin, opener, one.way)
            one.drilled = drilling.drill(order, begin)
        elif one.client is not None:
            order = drilling_over_ssm.order(nonce)
            one.drilled = drilling_over_ssm.drill(order, one.client, instance)
    except NotDrilledError as error:
        one.problem = f"Nothing could be armed on {one.target}: {error}"
    except HostKeyError as error:
        one.problem, one.host_key = str(error), error
    except (BackupError, RefusedError, NotSentError, AnswerLostError) as error:
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
    heard = one.drilled.by, one.drilled.state, str(one.target)
    if one.way is None:
        verdict, sentence = trials.judged_over_ssm(*heard)
    else:
        verdict, sentence = trials.judged(*heard, one.way.address.user)
    return Found(one.target, verdict, sentence, thaw_by=one.drilled.by)
