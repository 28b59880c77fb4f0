"""EBS's actions on the blocks of snapshots ("EBS direct APIs"), with the bytes of the images behind them.

A snapshot's image is its copy, if that is a file, or the disk of a copied folder (disks.py): each block of 512 KiB in
which the file has data is one of the snapshot's blocks. AWS documents some refusals without their codes (a snapshot
that is pending or archived): the code here is a guess, ValidationException with the reason INVALID_SNAPSHOT_ID.
"""

import base64
import errno
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from n2wbackup.demo.aws import disks
from n2wbackup.demo.aws.answers import Answer, ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.simulator import Simulator
from n2wbackup.demo.aws.snapshots import Snapshot

BLOCK = 512 * 1024
_FEWEST, _MOST = 100, 10_000
_SECRET = secrets.token_bytes(32)
_DAMAGE = b"\x00damaged\x00"


class EbsError(ApiError):
    """A refusal with the reason that EBS adds to its code."""

    def __init__(self, code: str, reason: str, message: str, status: HTTPStatus) -> None:
        """Keep the reason beside what every error has."""
        super().__init__(code, message, status)
        self.reason = reason


def list_snapshot_blocks(simulator: Simulator, call: ApiCall) -> dict[str, Any]:
    """Return a page of the blocks that the snapshot has, each with a token to read it."""
    snapshot = _readable(simulator, call, call.text("SnapshotId"))
    indexes, token = _page(simulator, call, _indexes(_image(snapshot)))
    blocks = [
        {"BlockIndex": index, "BlockToken": _block_token(simulator, snapshot.snapshot_id, index)}
        for index in indexes
    ]
    return {**_frame(simulator, snapshot, token), "Blocks": blocks}


def list_changed_blocks(simulator: Simulator, call: ApiCall) -> dict[str, Any]:
    """Return a page of the blocks that differ between two snapshots of a volume; without a first one, all."""
    second = _readable(simulator, call, call.text("SecondSnapshotId"))
    if not call.text("FirstSnapshotId"):
        first_copy, first_id = None, ""
    else:
        first = _readable(simulator, call, call.text("FirstSnapshotId"))
        if first.source.volume_id != second.source.volume_id:
            raise _invalid("UNRELATED_SNAPSHOTS", "The snapshots are not of the same volume.")
        first_copy, first_id = _image(first), first.snapshot_id
    indexes, token = _page(simulator, call, _changed(first_copy, _image(second)))
    changed = []
    for index in indexes:
        row: dict[str, Any] = {"BlockIndex": index}
        if first_id:
            row["FirstBlockToken"] = _block_token(simulator, first_id, index)
        row["SecondBlockToken"] = _block_token(simulator, second.snapshot_id, index)
        changed.append(row)
    return {**_frame(simulator, second, token), "ChangedBlocks": changed}


def get_snapshot_block(simulator: Simulator, call: ApiCall, damage: str = "") -> Answer:
    """Return a block's bytes. `damage`: "wrong_bytes" or "short_block", which is a fault."""
    snapshot = _readable(simulator, call, call.text("SnapshotId"))
    index = _number(call, "BlockIndex")
    _check_block_token(call.text("BlockToken"), snapshot.snapshot_id, index)
    data = _block(_image(snapshot), index)
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    if damage == "wrong_bytes":
        data = _DAMAGE + data[len(_DAMAGE) :]
    elif damage == "short_block":
        data = data[: len(data) // 2]
    headers = (
        ("x-amz-Data-Length", str(len(data))),
        ("x-amz-Checksum", checksum),
        ("x-amz-Checksum-Algorithm", "SHA256"),
    )
    return Answer(HTTPStatus.OK, "application/octet-stream", data, headers=headers)


def answer(simulator: Simulator, call: ApiCall, damage: str) -> Answer:
    """Return EBS's answer to a call."""
    if call.action == "GetSnapshotBlock":
        return get_snapshot_block(simulator, call, damage)
    if call.action == "ListSnapshotBlocks":
        content = list_snapshot_blocks(simulator, call)
    elif call.action == "ListChangedBlocks":
        content = list_changed_blocks(simulator, call)
    else:
        raise ApiError("UnknownOperationException", f"There is no {call.action}.")
    present = {name: value for name, value in content.items() if value is not None}
    return Answer(HTTPStatus.OK, "application/json", json.dumps(present).encode())


def _readable(simulator: Simulator, call: ApiCall, snapshot_id: str) -> Snapshot:
    """Return the snapshot if its blocks can be read; AWS's refusal if not."""
    found = simulator.snapshots.get(call.region, snapshot_id)
    is_seen = found is not None and call.caller in {found.request.owner, *found.shared_with}
    if found is None or not is_seen or not found.is_listed():
        message = f"The snapshot '{snapshot_id}' does not exist."
        status = HTTPStatus.NOT_FOUND
        raise EbsError("ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", message, status)
    if found.state() != "completed":
        raise _invalid(
            "INVALID_SNAPSHOT_ID", f"The snapshot '{snapshot_id}' is not in the 'completed' state."
        )
    if getattr(found, "tier", "standard") != "standard":
        raise _invalid("INVALID_SNAPSHOT_ID", f"The snapshot '{snapshot_id}' is archived.")
    if found.source.encrypted and simulator.options.kms_denied:
        message = f"The KMS key of the snapshot '{snapshot_id}' does not allow kms:Decrypt."
        reason, status = "DEPENDENCY_ACCESS_DENIED", HTTPStatus.FORBIDDEN
        raise EbsError("AccessDeniedException", reason, message, status)
    return found


def _invalid(reason: str, message: str) -> EbsError:
    return EbsError("ValidationException", reason, message, HTTPStatus.BAD_REQUEST)


def _number(call: ApiCall, name: str, default: int | None = None) -> int:
    text = call.text(name)
    if not text and default is not None:
        return default
    if not text.isdigit():
        raise _invalid("INVALID_PARAMETER_VALUE", f"{name} is no number.")
    return int(text)


def _frame(simulator: Simulator, snapshot: Snapshot, token: str | None) -> dict[str, Any]:
    return {
        "BlockSize": BLOCK,
        "VolumeSize": snapshot.source.size_gib,
        "ExpiryTime": time.time() + simulator.options.block_token_seconds,
        "NextToken": token,
    }


# Blocks


def _image(snapshot: Snapshot) -> Path | None:
    return disks.of(snapshot.copy, snapshot.source.volume_id, snapshot.source.size_gib)


def _indexes(image: Path | None) -> Iterator[int]:
    """Yield the blocks in which the file has data, in order."""
    if image is None or not image.is_file():
        return
    with image.open("rb") as file:
        size, at, last = image.stat().st_size, 0, -1
        while at < size:
            try:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # there is no data after this
                    return
                raise
            at = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            for index in range(max(begin // BLOCK, last + 1), -(-at // BLOCK)):
                last = index
                yield index


def _block(image: Path | None, index: int) -> bytes:
    """Return the bytes of a block; the last one of an image may be shorter."""
    if image is None or not image.is_file():
        raise _invalid("INVALID_BLOCK_TOKEN", "The block token is not valid.")
    with image.open("rb") as file:
        return os.pread(file.fileno(), BLOCK, index * BLOCK)


def _changed(first: Path | None, second: Path | None) -> Iterator[int]:
    before = set(_indexes(first))
    after = set(_indexes(second))
    for index in sorted(before | after):
        is_common = index in before and index in after
        if not is_common or _block(first, index) != _block(second, index):
            yield index


def _page(
    simulator: Simulator, call: ApiCall, indexes: Iterator[int]
) -> tuple[list[int], str | None]:
    """Return the indexes of this page, and the token of the next one. As AWS's, a page may be empty."""
    most = _number(call, "MaxResults", _MOST)
    if not _FEWEST <= most <= _MOST:
        raise _invalid("INVALID_PARAMETER_VALUE", f"MaxResults is from {_FEWEST} to {_MOST}.")
    start, number = _number(call, "StartingBlockIndex", 0), 0
    if token := call.text("NextToken"):
        start, number = _opened(call, token)
    if simulator.options.empty_block_pages and number % 2 == 0:
        return [], _page_token(simulator, call, start, number + 1)
    found = [each for each in indexes if each >= start]
    if len(found) <= most:
        return found, None
    return found[:most], _page_token(simulator, call, found[most], number + 1)


# Tokens


def _seal(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True).encode()
    mark = hmac.new(_SECRET, text, hashlib.sha256).digest()
    return base64.b64encode(mark + text).decode()


def _unsealed(token: str) -> dict[str, Any] | None:
    with suppress(ValueError):
        raw = base64.b64decode(token, validate=True)
        mark, text = raw[:32], raw[32:]
        if hmac.compare_digest(mark, hmac.new(_SECRET, text, hashlib.sha256).digest()):
            found: dict[str, Any] = json.loads(text)
            return found if found["ends"] > time.time() else None
    return None


def _block_token(simulator: Simulator, snapshot_id: str, index: int) -> str:
    ends = time.time() + simulator.options.block_token_seconds
    return _seal({"of": [snapshot_id, index], "ends": ends})


def _check_block_token(token: str, snapshot_id: str, index: int) -> None:
    found = _unsealed(token)
    if found is None or found["of"] != [snapshot_id, index]:
        raise _invalid("INVALID_BLOCK_TOKEN", "The block token is not valid, or has expired.")


def _asked(call: ApiCall) -> list[str]:
    names = ("SnapshotId", "FirstSnapshotId", "SecondSnapshotId")
    return [call.action, *(call.text(name) for name in names)]


def _page_token(simulator: Simulator, call: ApiCall, start: int, number: int) -> str:
    ends = time.time() + simulator.options.page_token_seconds
    return _seal({"of": _asked(call), "start": start, "number": number, "ends": ends})


def _opened(call: ApiCall, token: str) -> tuple[int, int]:
    found = _unsealed(token)
    if found is None or found["of"] != _asked(call):
        raise _invalid("INVALID_PAGE_TOKEN", "The page token is not valid, or has expired.")
    return int(found["start"]), int(found["number"])
