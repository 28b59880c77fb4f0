"""What happens to a run whose before and after run on an instance that SSM reaches.

Nothing there sees our end: what thaws without us is the deadline.
"""

import time

import boto3

from tests.system.faults.bed import END_SECONDS, GUARD, WORKERS, Bed
from tests.system.faults.table import FINE, Expected, Fault
from tests.system.faults.table_instances import CARRIER, kill_everything
from tests.system.faults.table_network import NOT_THERE
from tests.system.faults.table_processes import LATE

DEADLINE_SECONDS = 20
SOON: dict[str, object] = {
    "max_freeze_seconds": DEADLINE_SECONDS,
    "scripts": {"timeout_seconds": {"before": 10, "after": 60, "complete": 60}},
}
DELAY_SECONDS = (
    25.0  # beyond the ten after which a first command counts as lost, and beyond the deadline
)
ALONE = Expected("0", "partial", "crash")
CUT = Expected("0", "partial", "crash", afters=2)
NOT_FIRED = Expected("0", "failed", "none", fires=0, afters=2, unknown_answer=True)
# The first command may arrive before the second one, or never run.
LATE_OR_NEVER = Expected("0|", "partial", "crash", afters=0)


def _lose_agent(bed: Bed, _: str) -> None:
    bed.product.aws.set_agent(bed.managed, "lost")
    bed.since = time.time()


def _lose_agent_until_thawed(bed: Bed, run: str) -> None:
    """Lose it until the deadline has thawed there."""
    _lose_agent(bed, run)
    began = bed.since
    bed.product.wait_for_mark("after", "start", seconds=END_SECONDS)
    bed.since = began


def _agent_back(bed: Bed, _: str) -> None:
    bed.product.aws.set_agent(bed.managed, "online")


def _sent(bed: Bed) -> int:
    return sum(call.outcome == "ok" for call in bed.product.aws.calls("SendCommand"))


def _agent_back_for_both(bed: Bed, run: str) -> None:
    """Let it come back when both commands wait for it."""
    bed.wait_until(lambda: _sent(bed) >= 2, "the second command")
    _agent_back(bed, run)


def _delay(bed: Bed, _: str) -> None:
    bed.product.aws.delay_commands(bed.managed, DELAY_SECONDS)
    bed.since = time.time()


def _only_the_first(bed: Bed, _: str) -> None:
    """Delay the first command only, and let the run go on until it has come."""
    bed.wait_until(lambda: _sent(bed) >= 1, "the first command")
    bed.product.aws.delay_commands(bed.managed, 0.0)
    time.sleep(DELAY_SECONDS)


def _no_delay(bed: Bed, _: str) -> None:
    bed.product.wait_for_mark("after", "end", seconds=END_SECONDS)
    bed.product.aws.delay_commands(bed.managed, 0.0)


def _cancel(bed: Bed, _: str) -> None:
    """Cancel what runs there, as somebody at the console can."""
    environment = bed.product.aws.environment
    bed.since = time.time()
    ssm = boto3.client(
        "ssm",
        region_name="us-east-1",
        endpoint_url=bed.product.aws.endpoint_url,
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    found = ssm.list_command_invocations(InstanceId=bed.managed)["CommandInvocations"]
    for each in found:
        if each["Status"] == "InProgress":
            ssm.cancel_command(CommandId=each["CommandId"])


def _leave_a_child(bed: Bed, _: str) -> None:
    bed.scripts(before="sleep 8 & disown")


FAULTS = tuple(
    Fault(**{"bed": "over ssm", "is_quick": False, **each})  # type: ignore[arg-type]
    for each in (
        {
            "name": "nothing, with scripts on an instance over SSM",
            "at": dict.fromkeys(("armed", "before", "call", "after", "waiting"), FINE),
        },
        {
            "name": "SIGKILL of SSM's carrier",
            "at": {"before": CUT, "call": ALONE, "returned": ALONE},
            "strike": lambda bed, _: bed.kill(CARRIER),
            "ends_before": True,
            "policy": SOON,
        },
        {
            "name": "SIGKILL of the guard, which has a carrier of SSM",
            "at": {"call": ALONE, "returned": ALONE},
            "strike": lambda bed, _: bed.kill(GUARD),
            "policy": SOON,
        },
        {
            "name": "SIGKILL of the workers, whose guard has a carrier of SSM",
            "at": {"before": NOT_FIRED, "call": LATE, "returned": LATE},
            "strike": lambda bed, _: bed.kill(WORKERS),
            "ends_before": True,
            "policy": SOON,
        },
        {
            "name": "SIGKILL of workers, guard, carrier of SSM and watchdog",
            "at": {"before": NOT_FIRED, "call": ALONE, "returned": ALONE},
            "strike": kill_everything,
            "ends_before": True,
            "policy": SOON,
        },
        {
            "name": "SSM's agent is lost before the first command",
            "at": {"armed": LATE_OR_NEVER},
            "strike": _lose_agent,
            "recover": _agent_back_for_both,
        },
        {
            "name": "SSM's agent is lost between the two commands",
            "at": {"call": ALONE},
            "strike": _lose_agent_until_thawed,
            "recover": _agent_back,
            "promised": float(DEADLINE_SECONDS),
            "policy": SOON,
        },
        {
            "name": "SSM's second command comes before the first one",
            "at": {"armed": NOT_THERE},
            "strike": _delay,
            "recover": _only_the_first,
        },
        {
            "name": "SSM's second command comes behind the deadline",
            "at": {"call": ALONE},
            "strike": _delay,
            "recover": _no_delay,
            "promised": float(DEADLINE_SECONDS),
            "policy": SOON,
        },
        {
            "name": "somebody cancels SSM's first command",
            "at": {"before": CUT},
            "strike": _cancel,
            "ends_before": True,
        },
        {
            "name": "before leaves a child that holds SSM's first command",
            "at": {"before": FINE},
            "prepare": _leave_a_child,
            "by_itself": True,
        },
    )
)
