"""Additions to botocore's client for the window: requests to send later, a warm-up, a rehearsal.

All use botocore's events, and affect only the thread that asks for them.
"""

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

_GATE_SECONDS = 5.0  # longer than a connection may take to open


class _Wishes(threading.local):
    """The settings of this thread's next call."""

    caught: bool = False
    gate: threading.Barrier | None = None
    rehearsed: bool = False


_wishes = _Wishes()


def fit(client: "EC2Client") -> None:
    """Add this module's handlers to the client, and rehearse both calls once."""
    # The stubs know no handler that returns an answer; if one for before-send does, botocore sends nothing.
    client.meta.events.register("before-send.ec2", cast("Callable[..., None]", _hold_or_answer))
    _rehearse(client)


class _CaughtError(Exception):
    """Takes a request out of botocore, right before it would be sent."""

    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__("The request was caught.")
        self.request = request


def caught(ask: Callable[[], object]) -> AWSPreparedRequest:
    """Return the request that `ask`, one call of a fitted client, would send; it is signed, and not sent."""
    _wishes.caught = True
    try:
        ask()
    except _CaughtError as error:
        return error.request
    finally:
        _wishes.caught = False
    message = "The client sent the request."
    raise AssertionError(message)


def open_connections(count: int, ask: Callable[[], object]) -> None:
    """Run `ask`, one cheap call, in parallel, so that `count` connections are open at the same time.

    Every request stops after its headers until all of them have a connection; else a fast answer would
    free its connection for another call, and fewer would be opened. Raises the first failure.
    """
    if count == 1:
        ask()
        return
    gate = threading.Barrier(count, timeout=_GATE_SECONDS)
    with ThreadPoolExecutor(count, thread_name_prefix="warm") as pool:
        asked: list[Future[None]] = [pool.submit(_ask_at, gate, ask) for _ in range(count)]
    for future in asked:
        future.result()


def _ask_at(gate: threading.Barrier, ask: Callable[[], object]) -> None:
    _wishes.gate = gate
    try:
        ask()
    except BaseException:
        gate.abort()  # it may not have reached the gate, and the others must not wait for it
        raise
    finally:
        _wishes.gate = None


class _HeldBody(io.BytesIO):
    """A request's body that is not sent before the gate opens."""

    def __init__(self, body: bytes, gate: threading.Barrier) -> None:
        super().__init__(body)
        self._gate: threading.Barrier | None = gate

    def read(self, size: int | None = -1, /) -> bytes:
        gate, self._gate = self._gate, None
        if gate is not None:
            with suppress(threading.BrokenBarrierError):
                gate.wait()
        return super().read(size)


def _hold_or_answer(request: AWSPreparedRequest, **_others: object) -> AWSResponse | None:
    """Return the rehearsal's answer; for the warm-up, hold the body; catch the request; else do nothing."""
    if _wishes.caught:
        raise _CaughtError(request)
    if _wishes.rehearsed:
        return AWSResponse(request.url, 200, HTTPHeaders(), _Rehearsal())
    if _wishes.gate is not None:
        body = request.body.encode() if isinstance(request.body, str) else request.body
        if isinstance(body, bytes):
            request.body = _HeldBody(body, _wishes.gate)
    return None


_SNAPSHOT = (
    "<snapshotId>snap-00000000</snapshotId><volumeId>vol-00000000</volumeId><status>pending</status>"
    "<state>pending</state><startTime>2000-01-01T00:00:00.000Z</startTime><progress>0%</progress>"
    "<ownerId>0</ownerId><volumeSize>1</volumeSize><encrypted>false</encrypted><description/>"
    "<tagSet><item><key>a</key><value>b</value></item></tagSet>"
)


class _Rehearsal:
    """An answer that fits both calls."""

    def stream(self) -> Iterator[bytes]:
        yield f"<R><snapshotSet><item>{_SNAPSHOT}</item></snapshotSet>{_SNAPSHOT}</R>".encode()


def _rehearse(client: "EC2Client") -> None:
    """Build, sign and parse one call of each kind, without sending anything.

    A client's first call of a kind takes milliseconds longer than the next, as it loads models and
    credentials. That must not happen inside a window.
    """
    specification: dict[str, Any] = {
        "Description": "",
        "TagSpecifications": [{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}],
        "DryRun": True,  # even if it were sent, it would create nothing
    }
    _wishes.rehearsed = True
    try:
        client.create_snapshots(InstanceSpecification={"InstanceId": "i-00000000"}, **specification)
        client.create_snapshot(VolumeId="vol-00000000", **specification)
    finally:
        _wishes.rehearsed = False
