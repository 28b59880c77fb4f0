"""The program that asks instances a second time: `python -m policies.adapters.visitor DESCRIPTOR`, one for one run.

Standard input says whom, and how to log in; it holds keys, and nothing else does. The descriptor holds a lock of the
run as long as this process lives. Each login gets a key of its own where EC2 Instance Connect hands it over.
"""

import base64
import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from policies.ports import Credentials
from scripts_admin.domain.remote import By
from scripts_admin.guard import linux, spool
from scripts_admin.runners import by_ssh, far, ssm
from scripts_admin.runners.addresses import Connect, Way
from scripts_admin.runners.late_ssm import Late
from scripts_admin.runners.ssh import Opener
from scripts_admin.runners.visiting import Inquiry, Visit, Visitor
from scripts_admin.runners.wires import Begun
from scripts_admin.runners.words import Word

# Whoever asks once holds up other windows meanwhile: as long as a command of SSM may take to start and to tell, and an
# after to run; no other window begins while it does.
ONCE_SECONDS = 60.0
_MOST_OF_AFTER_SECONDS = 180.0


def main() -> None:
    """Ask until every instance has told that it is over."""
    said = json.load(sys.stdin)
    setproctitle(f"n2wbackup visitor {said['run']}")
    note = said.get("note", "")
    watched = Path(said["folder"]) / (note or spool.RECORD)
    after = float(said.get("after_seconds", 0.0))
    until = linux.boottime() + once_seconds(after) if note else float("inf")
    secrets = [str(each).encode() for each in said["masks"]]
    is_wanted = partial(_is_wanted, watched, until)
    visitor = Visitor(Path(said["runtime"]), is_wanted, secrets, once=bool(note))
    visitor.visit([_visit(raw, once=bool(note)) for raw in said["visits"]])


def once_seconds(after_seconds: float) -> float:
    """Return how long an instance whose after has this timeout may take to answer a single question."""
    return ONCE_SECONDS + min(after_seconds, _MOST_OF_AFTER_SECONDS)


def _is_wanted(watched: Path, until: float) -> bool:
    return os.path.lexists(watched) and linux.boottime() < until


def _visit(raw: Mapping[str, Any], *, once: bool) -> Visit | Inquiry:
    instance, nonce = str(raw["instance"]), str(raw["nonce"])
    text = base64.b64decode(raw["program"])
    if once:  # later attempts would come when another window may be open
        text = far.without_retries(text)
    if raw.get("by") == By.SSM:
        late = Late.from_spool(raw["way"], str)
        return Inquiry(instance, partial(_ask, late, nonce, instance, text.decode()))
    return Visit(instance, nonce, partial(_begin, Way.from_spool(raw["way"], str), text))


def _ask(
    late: Late, nonce: str, instance: str, text: str, is_wanted: Callable[[], bool]
) -> list[Word]:
    # The SDK takes most of a process's start, and SSH does not need it.
    from policies.adapters.clients import Clients  # noqa: PLC0415
    from policies.adapters.ssm import SsmCommands  # noqa: PLC0415

    clients = Clients(Credentials(**json.loads(late.credentials)))
    commands = SsmCommands(clients, late.region, late.document)
    return ssm.visit(commands, nonce, instance, text, late.within_seconds, is_wanted)


def _begin(way: Way, text: bytes) -> Begun:
    opener = Opener(1)
    key = way.key(partial(_hand, way.credentials))
    begun = by_ssh.begin(opener, way.address, key, text)

    def close() -> None:
        begun.close()
        opener.close()

    return Begun(begun.wire, close, begun.why_not)


def _hand(credentials: str, to: Connect, public_key: str) -> None:
    # The SDK takes most of a process's start, and stored keys do not need it.
    from policies.adapters.instance_connect import AwsInstanceConnect  # noqa: PLC0415

    aws = AwsInstanceConnect(Credentials(**json.loads(credentials)))
    aws.hand_over(to.region, to.instance_id, to.user, public_key, to.availability_zone)


if __name__ == "__main__":
    main()
