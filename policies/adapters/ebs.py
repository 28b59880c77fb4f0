"""An account's snapshots, block by block, by EBS direct APIs.

A request may never be answered, and throttling is usual: botocore tries nothing again, this module does, within
`BUDGET_SECONDS` for each block or page. Bytes that do not fit AWS's checksum are asked for again, too.
"""

import base64
import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from policies.adapters import loading, translate
from policies.adapters.identities import Identity
from policies.adapters.translate import Call
from policies.domain.errors import (
    ImageNotPossibleError,
    NotPermittedError,
    RegionError,
    RejectedError,
    ThrottledError,
    UnreachableError,
)
from policies.ports import Credentials
from policies.ports.blocks import BLOCK_BYTES, BlockList

CONNECTIONS = 32
BUDGET_SECONDS, READ_SECONDS = 40.0, 12
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0
_KEY_REASON = "DEPENDENCY_ACCESS_DENIED"
_WRONG_SNAPSHOT = "INVALID_SNAPSHOT_ID"


_Answer = TypeVar("_Answer")


def _config(connections: int) -> Config:
    return Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        parameter_validation=False,
        connect_timeout=3,
        read_timeout=READ_SECONDS,
        max_pool_connections=connections,
        tcp_keepalive=True,
        user_agent_extra=loading.USER_AGENT,
    )


class _DamagedAnswerError(Exception):
    """The bytes do not fit the checksum that came with them."""


class EbsBlocks:
    """One account's blocks."""

    def __init__(self, credentials: Credentials, budget_seconds: float = BUDGET_SECONDS) -> None:
        """Keep the credentials; no client is created yet."""
        self._identity = Identity(credentials)
        self._budget_seconds = budget_seconds
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def warm(self, region: str, connections: int) -> None:
        self._client(Call("ListSnapshotBlocks", "", region), connections)

    def listed(
        self, region: str, snapshot_id: str, start: int = 0, page: int = 10_000
    ) -> BlockList:
        call = Call("ListSnapshotBlocks", snapshot_id, region)
        ask = partial(self._client(call).list_snapshot_blocks, SnapshotId=snapshot_id)
        asked = {"MaxResults": page, **({"StartingBlockIndex": start} if start else {})}
        first = self._tried(call, lambda: ask(**asked))
        rows = self._rows(call, lambda token: ask(**asked, NextToken=token), first, "Blocks")
        blocks = ((int(row["BlockIndex"]), str(row["BlockToken"])) for row in rows)
        return BlockList(int(first["VolumeSize"]), int(first["BlockSize"]), blocks)

    def read(self, region: str, snapshot_id: str, index: int, token: str) -> bytes:
        call = Call("GetSnapshotBlock", f"block {index} of {snapshot_id}", region)
        client = self._client(call)

        def ask() -> bytes:
            answer = client.get_snapshot_block(
                SnapshotId=snapshot_id, BlockIndex=index, BlockToken=token
            )
            data: bytes = answer["BlockData"].read()
            digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
            if digest != answer["Checksum"] or len(data) > BLOCK_BYTES:
                raise _DamagedAnswerError
            return data

        return self._tried(call, ask).ljust(BLOCK_BYTES, b"\0")

    def changed(self, region: str, first_snapshot: str, second_snapshot: str) -> Iterator[int]:
        call = Call("ListChangedBlocks", second_snapshot, region)
        asked = {"SecondSnapshotId": second_snapshot, "MaxResults": 10_000}
        if first_snapshot:
            asked["FirstSnapshotId"] = first_snapshot
        ask = partial(self._client(call).list_changed_blocks, **asked)
        first = self._tried(call, ask)
        rows = self._rows(call, lambda token: ask(NextToken=token), first, "ChangedBlocks")
        return (int(row["BlockIndex"]) for row in rows)

    def _rows(
        self,
        call: Call,
        ask: Callable[[str], Any],
        first: Any,  # noqa: ANN401 - an answer
        name: str,
    ) -> Iterator[Any]:
        """Yield the rows of all pages; an empty one may name a next one."""
        answer = first
        while True:
            yield from answer.get(name, ())
            token = answer.get("NextToken")
            if not token:
                return
            answer = self._tried(call, partial(ask, token))

    def _tried(self, call: Call, ask: Callable[[], _Answer]) -> _Answer:
        """Return the answer of the first try that has one, within the budget; else the last error."""
        ends_at, pause = time.monotonic() + self._budget_seconds, _FIRST_PAUSE
        while True:
            try:
                return ask()
            except _DamagedAnswerError:
                problem: Exception = RejectedError(
                    f"{call} failed: its bytes do not fit the checksum that AWS sent with them; try again later."
                )
            except translate.RAISED as error:
                problem = _problem(call, error)
                if not isinstance(problem, ThrottledError | UnreachableError):
                    raise problem from error
            wait = pause * random.uniform(0.5, 1.5)  # noqa: S311 - spread, not secret
            if time.monotonic() + wait >= ends_at:
                raise problem
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _client(self, call: Call, connections: int = CONNECTIONS) -> Any:  # noqa: ANN401 - no stubs
        client = self._clients.get(call.region)
        if client is None:
            if not call.region:
                raise RegionError(f"{call} failed: no region was given; enter one.")
            session = self._identity.session(fires=False)  # asks AWS, so before the lock
            with self._lock, loading.MAKING:
                client = self._clients.get(call.region) or _made(session, call, connections)
                self._clients[call.region] = client
        return client


def _made(session: boto3.Session, call: Call, connections: int) -> Any:  # noqa: ANN401 - no stubs
    try:
        make: Any = session.client  # its stubs know each service by a literal
        return make("ebs", region_name=call.region, config=_config(connections))
    except translate.RAISED as error:
        raise translate.failure(error, call) from error


def _problem(call: Call, error: Exception) -> Exception:
    """Return our error; of a snapshot whose blocks cannot be read now, one that says so."""
    said = translate.failure(error, call)
    reason = error.response.get("Reason", "") if isinstance(error, ClientError) else ""
    if reason == _KEY_REASON:
        return NotPermittedError(
            f"{call} failed: the KMS key of the snapshot does not let the account decrypt; allow kms:Decrypt in the "
            "key's policy and in the account's IAM policy.",
            said.code,
            "kms:Decrypt",
        )
    if reason == _WRONG_SNAPSHOT:
        return ImageNotPossibleError(
            f"{call} failed: only a snapshot that is completed and not archived can be read; wait until it is "
            "completed, or restore it from the archive."
        )
    return said
