"""The program that asks instances a second time: `python -m policies.adapters.visitor DESCRIPTOR`, one for one run.

Standard input says whom, and how to log in; it holds keys, and nothing else does. The descriptor holds a lock of the
run as long as this process lives. Each login gets a key of its own where EC2 Instance Connect hands it over.
"""

import base64
import json
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from policies.ports import Credentials
from scripts_admin.guard import spool
from scripts_admin.runners import by_ssh
from scripts_admin.runners.addresses import Connect, Way
from scripts_admin.runners.ssh import Opener
from scripts_admin.runners.visiting import Visit, Visitor
from scripts_admin.runners.wires import Begun


def main() -> None:
    """Ask until every instance has told that it is over."""
    said = json.load(sys.stdin)
    setproctitle(f"n2wbackup visitor {said['run']}")
    record = Path(said["folder"]) / spool.RECORD
    secrets = [str(each).encode() for each in said["masks"]]
    visitor = Visitor(Path(said["runtime"]), partial(os.path.lexists, record), secrets)
    visitor.visit([_visit(raw) for raw in said["visits"]])


def _visit(raw: Mapping[str, Any]) -> Visit:
    way = Way.from_spool(raw["way"], str)
    text = base64.b64decode(raw["program"])
    return Visit(str(raw["instance"]), str(raw["nonce"]), partial(_begin, way, text))


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
