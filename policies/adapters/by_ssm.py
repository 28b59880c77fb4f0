"""The carrier of instances that are reached over SSM: `python -m policies.adapters.by_ssm DESCRIPTOR`.

What to do comes through standard input, as `ssm_order.document` has it.
"""

import json
import os
import socket
import sys
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from policies.adapters.clients import Clients
from policies.adapters.ssm import SsmAgents, SsmCommands, not_reached
from policies.ports import Credentials
from scripts_admin.runners import carrier
from scripts_admin.runners.commands import Commands
from scripts_admin.runners.ssm import Fleet
from scripts_admin.runners.ssm_texts import Texts


def main() -> None:
    """Carry until the guard, or whoever has its end before it, closes it."""
    guard = socket.socket(fileno=int(sys.argv[1]))
    said = json.load(sys.stdin)
    sys.stdin.close()
    os.environ.update(said["environment"])
    carrier.settle_in(str(said["run"]))
    try:
        carrier.Carrier(guard, _runner(said)).carry()
    finally:
        carrier.leave()


def _runner(said: Mapping[str, Any]) -> Commands:
    clients, region = Clients(Credentials(**said["credentials"])), str(said["region"])
    known = [Texts(**each) for each in said["texts"]]
    texts = {str(instance): known[number] for instance, number in said["instances"].items()}
    comment = f"n2wbackup {said['run']}"
    commands = SsmCommands(clients, region, str(said["document"]))
    fleet = Fleet(commands, str(said["nonce"]), comment)
    return Commands(
        fleet, texts, partial(_check, clients, region, texts, float(said["window_seconds"]))
    )


def _check(
    clients: Clients, region: str, instances: Collection[str], window_seconds: float
) -> Mapping[str, str]:
    """Say whom SSM does not reach; credentials and a connection are there afterwards."""
    clients.renew(window_seconds)
    SsmCommands(clients, region).warm()
    return not_reached(SsmAgents(clients), region, instances)


if __name__ == "__main__":
    main()
