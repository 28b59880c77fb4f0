"""What commands printed: as SSM shows it, cut; and whole, in S3 and in CloudWatch Logs."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from n2wbackup.demo.aws.ssm_agents import Done

STDOUT_CHARACTERS, STDERR_CHARACTERS, PLUGIN_CHARACTERS = 24_000, 8_000, 2_500
CUT = "--output truncated--"
_OUT_CUT, _ERROR_CUT = "\n---Output truncated---", "\n---Error truncated----"
_ERROR_TITLE = "\n----------ERROR-------\n"
_S3_PLUGIN, _LOG_PLUGIN = "awsrunShellScript/0.awsrunShellScript", "aws-runShellScript"
DEFAULT_GROUP = "/aws/ssm/AWS-RunShellScript"
_EVENT_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class OutputPlaces:
    """Where SendCommand wants the outputs, besides SSM; empty: nowhere."""

    bucket: str = ""
    prefix: str = ""
    group: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "OutputPlaces":
        logs = given.get("CloudWatchOutputConfig") or {}
        group = logs.get("CloudWatchLogGroupName") or DEFAULT_GROUP
        return cls(
            given.get("OutputS3BucketName", ""),
            given.get("OutputS3KeyPrefix", ""),
            group if logs.get("CloudWatchOutputEnabled") else "",
        )

    def key(self, command_id: str, instance_id: str, stream: str) -> str:
        """Return the key of an object in the bucket; empty without a bucket."""
        if not self.bucket:
            return ""
        parts = [self.prefix.strip("/"), command_id, instance_id, _S3_PLUGIN, stream]
        return "/".join(part for part in parts if part)


class Outputs:
    """Objects by bucket and key, log events by group and stream."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[tuple[str, str], Path] = {}
        self._streams: dict[tuple[str, str], Path] = {}

    def keep(self, places: OutputPlaces, command_id: str, instance_id: str, done: Done) -> None:
        """Put both streams, as far as they are not empty, where they are wanted."""
        with self._lock:
            for stream, path in (("stdout", done.stdout), ("stderr", done.stderr)):
                if not path.stat().st_size:
                    continue
                if places.bucket:
                    key = places.key(command_id, instance_id, stream)
                    self._objects[places.bucket, key] = path
                if places.group:
                    name = f"{command_id}/{instance_id}/{_LOG_PLUGIN}/{stream}"
                    self._streams[places.group, name] = path

    def object(self, bucket: str, key: str) -> bytes | None:
        path = self._objects.get((bucket, key))
        return None if path is None else path.read_bytes()

    def events(self, group: str, stream: str) -> list[str] | None:
        """Return the events of a stream; None if there is none. Each has whole lines, 256 KiB at most."""
        path = self._streams.get((group, stream))
        if path is None:
            return None
        events, size = [""], 0
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
            if size and size + len(line) > _EVENT_BYTES:
                events.append("")
                size = 0
            events[-1] += line
            size += len(line)
        return events

    def clear(self) -> None:
        with self._lock:
            self._objects.clear()
            self._streams.clear()


def content(path: Path | None, characters: int) -> str:
    """Return the beginning of a stream; a longer one ends with the agent's mark."""
    if path is None:
        return ""
    with path.open(encoding="utf-8", errors="replace") as stream:
        text = stream.read(characters)
    return text if len(text) < characters else text[: characters - len(CUT)] + CUT


def plugin_output(stdout: str, stderr: str) -> str:
    """Return both streams as one text of at most 2,500 characters, as a listing shows them."""
    title = _ERROR_TITLE if stderr else ""
    space = PLUGIN_CHARACTERS - len(title)
    if len(stdout) + len(stderr) < space:
        return f"{stdout}{title}{stderr}"
    half = space // 2
    if len(stdout) > half and len(stderr) > half:
        each = (space - len(_OUT_CUT) - len(_ERROR_CUT)) // 2
        return f"{stdout[:each]}{_OUT_CUT}{title}{stderr[:each]}{_ERROR_CUT}"
    if len(stdout) < half:
        return f"{stdout}{title}{stderr[: space - len(_ERROR_CUT) - len(stdout)]}{_ERROR_CUT}"
    return f"{stdout[: space - len(_OUT_CUT) - len(stderr)]}{_OUT_CUT}{title}{stderr}"
