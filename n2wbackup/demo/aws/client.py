"""The parent's side: start a simulated AWS, add resources and faults, and read its state."""

import http.client
import json
import os
import pwd
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, Unpack
from urllib.parse import urlsplit

from n2wbackup.demo.aws.options import OptionChanges
from n2wbackup.demo.aws.records import Call, SimulatedInstance, SimulatedSnapshot, VolumeSpec

START_SECONDS = 60.0
STOP_SECONDS = 10.0
ACTIVE_KEYS = Path(__file__).with_name("active_keys.sh")
PROJECT = Path(__file__).resolve().parents[3]
FaultKind = Literal[
    "throttle",
    "error_500",
    "error_503",
    "slow",
    "hang",
    "lost_answer",
    "denied",
    "snapshot_error",
    "wrong_bytes",
    "short_block",
]


class SimulatorError(Exception):
    """The simulator did not start, or refused a request; nothing was changed."""


class SimulatedAws:
    """A simulated AWS in its own process, which ends with this process, in whatever way that ends.

    For the options see `Options` in `options.py`. `state_dir` belongs to the simulator: keys, log, copies
    of volumes. It forgets instances and snapshots when it ends. Many threads may use it.
    """

    def __init__(self, state_dir: Path, **options: Unpack[OptionChanges]) -> None:
        """Only prepare a server; `start` or `with` starts it."""
        self.state_dir = state_dir
        self.endpoint_url = ""
        self.environment: dict[str, str] = {}
        self._options = options
        self._token = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The pid of the server; 0 before it is started."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start the server on a free port and return when it answers.

        SimulatorError, with the end of its log, if it does not answer within `START_SECONDS`.
        """
        self.state_dir.mkdir(parents=True, exist_ok=True)
        ready, told = os.pipe()
        watched, self._lifeline = os.pipe()
        arguments = ["--port", "0", "--state", str(self.state_dir)]
        arguments += ["--ready-fd", str(told), "--parent-fd", str(watched)]
        with (self.state_dir / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "n2wbackup.demo.aws", *arguments],
                cwd=PROJECT,
                env=_child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(told, watched),
                start_new_session=True,
            )
        os.close(told)
        os.close(watched)
        door = self._read_door(ready)
        self.endpoint_url, self._token = door["endpoint_url"], door["token"]
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": door["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": door["secret_access_key"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        try:
            self.configure(**self._options)
        except SimulatorError:
            self.stop()
            raise

    def _read_door(self, ready: int) -> dict[str, str]:
        deadline = time.monotonic() + START_SECONDS
        text = b""
        with os.fdopen(ready, "rb", buffering=0) as stream:
            while select.select([stream], [], [], max(0.0, deadline - time.monotonic()))[0]:
                piece = stream.read(4096)
                if not piece:
                    break
                text += piece
        try:
            door: dict[str, str] = json.loads(text)
        except ValueError as error:
            log = self.state_dir / "server.log"
            end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            self.stop()
            msg = f"The simulated AWS did not start; its log {log} ends with:\n{end}"
            raise SimulatorError(msg) from error
        return door

    def stop(self) -> None:
        """End the server and the scripts that it runs; does nothing if the server does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        os.close(self._lifeline)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _ask(self, method: str, /, **given: object) -> Any:  # noqa: ANN401 - JSON
        address = urlsplit(self.endpoint_url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        headers = {"Content-Type": "application/json", "X-Simulator-Token": self._token}
        try:
            body = json.dumps(given, default=str)
            connection.request("POST", f"/_simulator/{method}", body, headers)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise SimulatorError(answer["error"])
        return answer["result"]

    def configure(self, **options: Unpack[OptionChanges]) -> None:
        """Change options (see `Options`) from now on."""
        self._ask("configure", **options)

    def reset(self) -> None:
        """Reset everything; only the keys in `environment` and the options from the start stay."""
        self._ask("reset")
        self.configure(**self._options)

    def add_account(
        self,
        access_key_id: str,
        secret: str,
        allowed_actions: str | Sequence[str] = "*",
        number: str = "",
    ) -> None:
        """Add another key, for these IAM actions ("ec2:Describe*"), of the same AWS account or of another one.

        Another one has no instances and no volumes, but it may have snapshots.
        """
        self._ask(
            "add_account",
            access_key_id=access_key_id,
            secret_access_key=secret,
            allowed_actions=allowed_actions,
            number=number,
        )

    def add_role(
        self, arn: str, external_id: str = "", allowed_actions: Sequence[str] = ("*",)
    ) -> None:
        """Add a role that every key may assume with this external id; without one, any external id will do."""
        self._ask(
            "add_role", arn=arn, external_id=external_id, allowed_actions=list(allowed_actions)
        )

    def add_instance(
        self,
        region: str = "us-east-1",
        volumes: Sequence[VolumeSpec] = (VolumeSpec(),),
        name: str = "",
        folder: Path | None = None,
        state: str = "running",
        user_data: str = "",
    ) -> SimulatedInstance:
        """Create an instance: the first volume is its root; with a `folder`, SSM manages it.

        Scripts sent through SSM run in that folder. `state`: running, stopped or terminated.
        """
        made = self._ask(
            "add_instance",
            region=region,
            volumes=[asdict(each) for each in volumes],
            name=name,
            folder=folder,
            state=state,
            user_data=user_data,
        )
        return SimulatedInstance(made["instance_id"], made["region"], tuple(made["volume_ids"]))

    def add_volume(self, region: str = "us-east-1", volume: VolumeSpec | None = None) -> str:
        """Create a volume that is not attached; return its id."""
        return str(self._ask("add_volume", region=region, volume=asdict(volume or VolumeSpec())))

    def attach(
        self, volume_id: str, instance_id: str, region: str = "us-east-1", device: str = ""
    ) -> None:
        """Attach a volume; without a device name, to the next free one."""
        self._ask(
            "attach", region=region, volume_id=volume_id, instance_id=instance_id, device=device
        )

    def detach(self, volume_id: str, region: str = "us-east-1") -> None:
        self._ask("detach", region=region, volume_id=volume_id)

    def delete_snapshot(self, snapshot_id: str, region: str = "us-east-1") -> None:
        """Delete a snapshot and its copy."""
        self._ask("delete_snapshot", region=region, snapshot_id=snapshot_id)

    def add_image(
        self,
        snapshot_ids: Sequence[str],
        tags: Mapping[str, str] | None = None,
        region: str = "us-east-1",
        *,
        disabled: bool = False,
    ) -> str:
        """Register an AMI of these snapshots, the root device's first; return its id."""
        given = {"snapshot_ids": list(snapshot_ids), "tags": dict(tags or {})}
        return str(self._ask("add_image", region=region, disabled=disabled, **given))

    def settle_snapshots(self, state: str = "completed", snapshot_ids: Sequence[str] = ()) -> None:
        """End pending snapshots (without ids: all) in this state now."""
        self._ask("settle_snapshots", state=state, snapshot_ids=list(snapshot_ids))

    def set_agent(self, instance_id: str, state: str) -> None:
        """Set the state of an SSM agent; scripts that run go on in every state.

        "online"; "lost": it takes no command and reports nothing; "silent": it takes commands and reports nothing;
        "frozen": it takes commands and cannot write its files, so it starts none. What a lost or silent agent could
        not report, it reports when it is online again.
        """
        self._ask("set_agent", instance_id=instance_id, state=state)

    def describe_agent(
        self, instance_id: str, *, version: str = "", platform: str = "", folder: Path | None = None
    ) -> None:
        """Set an agent's version, platform ("Linux", "Windows") and the folder where it keeps its files."""
        self._ask(
            "describe_agent",
            instance_id=instance_id,
            version=version,
            platform=platform,
            folder=folder,
        )

    def restart_agent(self, instance_id: str) -> None:
        """Restart an agent: see the option `ssm_restart_seconds`."""
        self._ask("restart_agent", instance_id=instance_id)

    def delay_commands(self, instance_id: str, seconds: float) -> None:
        """Let each command that is sent from now on reach this instance so much later."""
        self._ask("delay_commands", instance_id=instance_id, seconds=seconds)

    def set_role(
        self, instance_id: str, role: str, policies: Sequence[str] = (), region: str = "us-east-1"
    ) -> None:
        """Give an instance a profile and a role of this name, with these managed policies."""
        self._ask(
            "set_role", instance_id=instance_id, role=role, policies=list(policies), region=region
        )

    def set_parameter(self, name: str, value: str) -> None:
        """Put a parameter into Parameter Store; SSM replaces {{ssm:name}} by its value."""
        self._ask("set_parameter", name=name, value=value)

    def let_connect(self, instance_id: str, folder: Path, region: str = "us-east-1") -> list[str]:
        """Let EC2 Instance Connect reach the instance; return lines for its sshd_config, which then asks `folder`.

        sshd runs the program as the account that runs sshd, and needs a folder that exists.
        """
        self._ask("let_connect", instance_id=instance_id, folder=folder, region=region)
        user = pwd.getpwuid(os.geteuid()).pw_name
        program = f"/bin/sh {ACTIVE_KEYS} {folder} %u"  # sshd judges every folder above a program
        return [f"AuthorizedKeysCommand {program}", f"AuthorizedKeysCommandUser {user}"]

    def set_console(
        self, instance_id: str, early: str, now: str | None = "", region: str = "us-east-1"
    ) -> None:
        """Set what the instance's console shows: after its start, and now (None: its type cannot tell)."""
        self._ask("set_console", instance_id=instance_id, region=region, early=early, now=now)

    def fault(
        self,
        action: str,
        kind: FaultKind,
        times: int | None = 1,
        seconds: float = 3600.0,
        match: Mapping[str, str] | None = None,
        *,
        region: str = "",
        deed: bool = False,
        dry_run: bool | None = None,
    ) -> None:
        """Make the next `times` calls of an action (None: all of them) fail.

        throttle, error_500, error_503, denied: AWS's error, and nothing is done. slow: `seconds` late.
        hang: no answer for `seconds`, then the connection is closed, and nothing is done. lost_answer:
        the call is done, but the connection is closed without an answer. snapshot_error: the usual
        answer, but the snapshots end in `error`. `deed`: the call is done first, then the fault happens.
        `match` compares parameters by their last name, {"InstanceId": "i-…"}. The fault does not apply to
        dry runs unless it is "denied" or `dry_run` says otherwise (True: only dry runs, False: never).
        """
        self._ask(
            "fault",
            action=action,
            kind=kind,
            times=times,
            seconds=seconds,
            match=dict(match or {}),
            region=region,
            deed=deed,
            dry_run=dry_run,
        )

    def clear_faults(self) -> None:
        """Remove all faults; calls that hang now lose their connection at once."""
        self._ask("clear_faults")

    def calls(self, action: str = "") -> list[Call]:
        """Return the last 100,000 API calls (of one action), in the order of their ends.

        Calls that are still being served come last, with the outcome "serving".
        """
        return [
            Call(
                **{
                    **each,
                    "at": datetime.fromisoformat(each["at"]),
                    "permissions": tuple(each["permissions"]),
                }
            )
            for each in self._ask("calls", action=action)
        ]

    def forget_calls(self) -> None:
        """Forget all `calls` so far."""
        self._ask("forget_calls")

    def snapshots(self, region: str = "") -> list[SimulatedSnapshot]:
        """Return all snapshots (of one region), oldest first, with their copies."""
        return [
            SimulatedSnapshot(
                **{
                    **each,
                    "created_at": datetime.fromisoformat(each["created_at"]),
                    "copy": Path(each["copy"]) if each["copy"] else None,
                }
            )
            for each in self._ask("snapshots", region=region)
        ]


def _child_environment() -> dict[str, str]:
    """Return our environment without the variables that lead to an AWS, and with our project on its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    path = os.environ.get("PYTHONPATH", "")
    return {**kept, "PYTHONPATH": f"{PROJECT}{os.pathsep}{path}" if path else str(PROJECT)}
