"""The carrier of instances that are reached over SSM: `python -m policies.adapters.by_ssm DESCRIPTOR`.

What to do comes through standard input, credentials and the SDK's environment (AWS_*) with it.
"""

import json
import os
import socket
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from policies.adapters.clients import Clients
from policies.adapters.ssm import DOCUMENT, SsmAgents, SsmCommands, not_reached
from policies.ports import Credentials
from scripts_admin.runners import carrier
from scripts_admin.runners.commands import Commands
from scripts_admin.runners.ssm import Fleet
from scripts_admin.runners.ssm_texts import Texts

# -B: a carrier writes nothing, not even the modules that it has compiled.
PROGRAM = (sys.executable, "-B", "-m", "policies.adapters.by_ssm")


def document(
    run: str,
    region: str,
    credentials: Credentials,
    nonce: str,
    texts: Mapping[str, Texts],
    window_seconds: float,
    kind: str = DOCUMENT,
) -> Mapping[str, object]:
    """Return what standard input gets. Instances with the same texts share them. `kind` is SSM's document.

    The credentials will outlive so many seconds: no call in the window has to get new ones.
    """
    known = list(dict.fromkeys(texts.values()))
    return {
        "run": run,
        "region": region,
        "document": kind,
        "nonce": nonce,
        "window_seconds": window_seconds,
        "credentials": asdict(credentials),
        "environment": {k: v for k, v in os.environ.items() if k.startswith("AWS_")},
        "texts": [asdict(each) for each in known],
        "instances": {each: known.index(texts[each]) for each in texts},
    }


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
