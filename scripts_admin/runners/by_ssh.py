"""The carrier of instances that are reached by SSH: `python -m scripts_admin.runners.by_ssh DESCRIPTOR`.

What to do comes through standard input, keys and all.
"""

import base64
import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from scripts_admin.runners import carrier, far
from scripts_admin.runners.addresses import Address, Key, address_of, plain
from scripts_admin.runners.refusals import HostKeyError, Why
from scripts_admin.runners.sessions import Order, Sessions
from scripts_admin.runners.ssh import Opener, Session, Wire
from scripts_admin.runners.wires import Begun

OPEN_SECONDS = 20.0  # with the handshakes of a bastion before it


def document(run: str, orders: list[dict[str, Any]]) -> Mapping[str, object]:
    """Return what standard input gets; each order as `order` writes it."""
    return {"run": run, "orders": orders}


def main() -> None:
    """Carry until the guard, or whoever has its end before it, closes it."""
    guard = socket.socket(fileno=int(sys.argv[1]))
    said = json.load(sys.stdin)
    sys.stdin.close()
    carrier.settle_in(str(said["run"]))
    opener = Opener()
    try:
        carrier.Carrier(guard, Sessions([_order(opener, raw) for raw in said["orders"]])).carry()
    finally:
        carrier.leave()


def order(
    instance: str, nonce: str, text: bytes, second: bytes, address: Address, key: Key
) -> dict[str, Any]:
    """Return an order, for standard input only: the key is in it. `second` is the program of a second channel."""
    return {
        "instance": instance,
        "nonce": nonce,
        "program": base64.b64encode(text).decode(),
        "second": base64.b64encode(second).decode(),
        "address": plain(address),
        "key": asdict(key),
    }


def begin(
    opener: Opener, address: Address, key: Key, text: bytes, second: bytes | None = None
) -> Begun:
    """Open a session and start a program on it; RefusedError if that cannot be done."""
    session = opener.open(address, key, OPEN_SECONDS)
    try:
        wire = _start(session, text)
    except BaseException:
        session.close()
        raise
    again = None if second is None else partial(_start, session, second)
    return Begun(wire, session.close, lambda noise: str(session.not_started(wire, noise)), again)


def _start(session: Session, text: bytes) -> Wire:
    return session.start(far.launch(text, sudo=session.address.sudo), text)


def _order(opener: Opener, raw: Mapping[str, Any]) -> Order:
    address, key = address_of(raw["address"]), _key(raw["key"])
    text, second = base64.b64decode(raw["program"]), base64.b64decode(raw["second"])
    starts = partial(begin, opener, address, key, text, second)
    return Order(str(raw["instance"]), str(raw["nonce"]), starts, _more)


def _more(error: Exception) -> dict[str, object] | None:
    """Return which host showed which key, if that is why: the page Hosts shows it."""
    if not isinstance(error, HostKeyError):
        return None
    return {
        "why": str(error.why),
        "host": error.host,
        "port": error.port,
        "shown": error.shown,
        "text": str(error),
    }


def host_key_error(more: object) -> HostKeyError | None:
    """Return the error that a refusal had, if a host's key was the reason."""
    if not isinstance(more, Mapping):
        return None
    host, port, shown = str(more["host"]), int(more["port"]), str(more["shown"])
    return HostKeyError(Why(more["why"]), str(more["text"]), host=host, port=port, shown=shown)


def _key(raw: Mapping[str, Any]) -> Key:
    bastion = raw["for_bastion"]
    return Key(tuple(raw["privates"]), bool(raw["is_connect"]), _key(bastion) if bastion else None)


if __name__ == "__main__":
    main()
