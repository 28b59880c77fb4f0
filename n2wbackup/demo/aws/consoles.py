"""What the consoles of instances show, as EC2's GetConsoleOutput tells it."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.ec2_snapshots import refuse_malformed_instance, required
from n2wbackup.demo.aws.simulator import Simulator

_KEPT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Console:
    """The output after the last start, and the one now; None if the instance is too old a type for that."""

    early: str = ""
    now: str | None = ""


def get_console_output(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Return the end of the output, in base64; without any output, AWS leaves the element out."""
    instance_id = required(call, "InstanceId")
    refuse_malformed_instance(instance_id)
    simulator.inventory.instance(call.region, instance_id)
    simulator.refuse_dry_run(call)
    console = simulator.consoles.get(instance_id, Console())
    latest = call.flag("Latest")
    if latest and console.now is None:
        raise ApiError(
            "UnsupportedOperation",
            "This instance type does not support retrieving the latest output.",
        )
    text = (console.now or "") if latest else console.early
    shown = base64.b64encode(text.encode()[-_KEPT_BYTES:]).decode()
    answer = {"instanceId": instance_id, "timestamp": datetime.now(tz=UTC)}
    return {**answer, "output": shown} if shown else answer
