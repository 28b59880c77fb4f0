"""The contestants: two warm processes that make a round on an order, and a shell script."""

import json
import select
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bench.request import DESCRIPTION, REGION, TAGS

PROJECT = Path(__file__).resolve().parents[2]
END_SECONDS = 10.0
ORDER_SECONDS = 300.0
ROUND_SECONDS = 60.0  # far more than any round takes: after that, something hangs


class ContestantError(Exception):
    """A contestant could not make its round; the text says why."""


class Warm:
    """A Python process that keeps running: each input line is a round, each output line its answer in JSON."""

    def __init__(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        """Prepare `python -m module`; its standard error goes into `log`."""
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment, self._log = dict(environment), log
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start it, and return when it is ready."""
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=PROJECT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._answer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it: it exits when its standard input is closed."""
        process, self._process = self._process, None
        if process is None or process.stdin is None or process.stdout is None:
            return
        process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def order(self, what: Mapping[str, object]) -> dict[str, Any]:
        """Give an order, as JSON; return the answer."""
        return self.round(json.dumps(what), ORDER_SECONDS)

    def round(self, what: str = "", within_seconds: float = ROUND_SECONDS) -> dict[str, Any]:
        """Order one round; return the contestant's answer."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(f"{what}\n")
            self._process.stdin.flush()
        return self._answer(within_seconds)

    def _answer(self, within_seconds: float = ROUND_SECONDS) -> dict[str, Any]:
        stream = self._process.stdout if self._process else None
        # An answer is one line, so nothing of the next one is in the stream's buffer.
        told = stream is not None and select.select([stream], [], [], within_seconds)[0]
        line = stream.readline() if stream is not None and told else ""
        if not line:
            end = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
            name = self._command[2]
            raise ContestantError(f"{name} ended, or gave no answer in time; its log ends:\n{end}")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Shell:
    """A plain shell script: before; aws ec2 create-snapshots; after."""

    def __init__(
        self,
        folder: Path,
        scripts: tuple[Path, Path],
        instance: str,
        environment: Mapping[str, str],
    ) -> None:
        """Write the script into the folder; `scripts` are before and after."""
        self._path, self._environment = folder / "backup.sh", dict(environment)
        tags = ",".join(f"{{Key={key},Value={value}}}" for key, value in TAGS.items())
        aws = [
            str(Path(sys.executable).with_name("aws")),
            "ec2",
            "create-snapshots",
            *("--region", REGION),
            *("--instance-specification", f"InstanceId={instance}"),
            *("--description", DESCRIPTION),
            *("--tag-specifications", f"ResourceType=snapshot,Tags=[{tags}]"),
        ]
        before, after = (shlex.quote(str(path)) for path in scripts)
        self._path.write_text(
            f"#!/bin/bash\nset -e\n{before}\n{shlex.join(aws)} >/dev/null\n{after} 1\n",
            encoding="utf-8",
        )
        self._path.chmod(0o755)

    def round(self) -> None:
        done = subprocess.run(
            [str(self._path)], env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ContestantError(f"The shell script failed: {done.stderr.strip()}")
