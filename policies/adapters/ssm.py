"""SSM of one account and region, for scripts on instances and for what can be said about the instances' agents."""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from policies.adapters import translate
from policies.adapters.clients import Clients
from policies.adapters.translate import Call
from policies.domain import errors
from policies.domain.agents import ONLINE
from policies.ports import Agents, ManagedInstance
from scripts_admin.domain.remote import DOCUMENT
from scripts_admin.runners.ssm import AnswerLostError, Invocation, NotSentError, Printed

if TYPE_CHECKING:
    from mypy_boto3_ssm.type_defs import (
        CommandInvocationTypeDef,
        InstanceInformationTypeDef,
        SendCommandRequestTypeDef,
    )

START_SECONDS = 30  # the least that SSM takes; an A that starts later finds a tombstone
EXECUTION_SECONDS = 3600  # the wrapper has its own limits, and SSM's would only kill the messenger
MOST_CHARACTERS = 24_000
_COMMENT_CHARACTERS = 100
_ID = re.compile(r"\bi-[0-9a-f]{8,17}\b")
_ALL = "100%"
_CUT = "--output truncated--"
_PAGE = 50


class SsmCommands:
    """SSM as `scripts_admin.runners.ssm.Client`; thread-safe."""

    def __init__(
        self,
        clients: Clients,
        region: str,
        document: str = DOCUMENT,
    ) -> None:
        """Keep the clients; AWS is not called yet. The document takes the parameters of AWS-RunShellScript."""
        self._clients = clients
        self._region = region
        self._document = document
        self._since: dict[str, datetime] = {}

    def send(self, instance_ids: Sequence[str], text: str, comment: str) -> str:
        """Send a script to up to 50 instances, in one attempt; one that fails keeps none of the others back."""
        call = Call("SendCommand", _several(instance_ids), self._region, creates=True)
        request: SendCommandRequestTypeDef = {
            "InstanceIds": list(instance_ids),
            "DocumentName": self._document,
            "Parameters": {"commands": [text], "executionTimeout": [str(EXECUTION_SECONDS)]},
            "Comment": comment[:_COMMENT_CHARACTERS],
            "TimeoutSeconds": START_SECONDS,
            "MaxErrors": _ALL,
            "MaxConcurrency": _ALL,
        }
        try:
            command = self._clients.commanding(call).send_command(**request)["Command"]
        except translate.RAISED as error:
            raise _not_sent(error, call, instance_ids) from error
        command_id = command["CommandId"]
        self._since[command_id] = command["RequestedDateTime"]
        return command_id

    def warm(self) -> None:
        """Open a connection for the window, and prove that its questions are permitted."""
        call = Call("ListCommandInvocations", "", self._region)
        with told(call):
            self._clients.commanding(call).list_command_invocations(MaxResults=1)

    def look(self, command_ids: Sequence[str]) -> list[Invocation]:
        """Return how the commands go: one call for each 50 invocations, whatever the number of commands."""
        call = Call("ListCommandInvocations", _several(command_ids), self._region)
        with told(call):
            pages = (
                self._clients.commanding(call)
                .get_paginator("list_command_invocations")
                .paginate(**self._asked(command_ids), PaginationConfig={"PageSize": _PAGE})
            )
            rows = [row for page in pages for row in page.get("CommandInvocations", [])]
        wanted = set(command_ids)
        return [_invocation(row) for row in rows if row.get("CommandId") in wanted]

    def _asked(self, command_ids: Sequence[str]) -> Any:  # noqa: ANN401 - two kinds of requests
        if len(command_ids) == 1:
            return {"CommandId": command_ids[0], "Details": True}
        since = min(self._since[each] for each in command_ids if each in self._since)
        after = since.replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"Filters": [{"key": "InvokedAfter", "value": after}], "Details": True}

    def printed(self, command_id: str, instance_id: str) -> Printed:
        """Return what a command printed, or SSM's beginning of it."""
        call = Call("GetCommandInvocation", instance_id, self._region)
        with told(call):
            found = self._clients.commanding(call).get_command_invocation(
                CommandId=command_id, InstanceId=instance_id
            )
        text = found["StandardOutputContent"]
        is_cut = len(text) >= MOST_CHARACTERS
        return Printed(text.removesuffix(_CUT) if is_cut else text, is_cut)


class SsmAgents:
    """What SSM and IAM say about the instances of one account."""

    def __init__(self, clients: Clients) -> None:
        """Keep the clients; AWS is not called yet."""
        self._clients = clients

    def managed(self, region: str, instance_ids: Sequence[str] = ()) -> dict[str, ManagedInstance]:
        """Return the instances whose agent has ever registered, by id: those of the region, or of these ids only."""
        found: dict[str, ManagedInstance] = {}
        for start in range(0, max(1, len(instance_ids)), _PAGE):
            found |= self._managed(region, instance_ids[start : start + _PAGE])
        return found

    def _managed(self, region: str, some: Sequence[str]) -> dict[str, ManagedInstance]:
        wanted: Any = {"Filters": [{"Key": "InstanceIds", "Values": list(some)}]} if some else {}
        call = Call("DescribeInstanceInformation", "", region)
        with told(call):
            pages = (
                self._clients.reading_of("ssm", call)
                .get_paginator("describe_instance_information")
                .paginate(**wanted, PaginationConfig={"PageSize": _PAGE})
            )
            rows = [row for page in pages for row in page["InstanceInformationList"]]
        return {made.instance_id: made for made in map(_managed, rows)}

    def role_of(self, profile_arn: str, region: str) -> tuple[str, tuple[str, ...]]:
        """Return the role of an instance profile, and the names of its managed policies; the role may be empty."""
        name = profile_arn.rpartition("/")[2]
        call = Call("GetInstanceProfile", name, region)
        with told(call):
            client = self._clients.reading_of("iam", call)
            roles = client.get_instance_profile(InstanceProfileName=name)["InstanceProfile"][
                "Roles"
            ]
        if not roles:
            return "", ()
        role = roles[0]["RoleName"]
        call = Call("ListAttachedRolePolicies", role, region)
        with told(call):
            pages = client.get_paginator("list_attached_role_policies").paginate(RoleName=role)
            attached = [row["PolicyName"] for page in pages for row in page["AttachedPolicies"]]
        return role, tuple(attached)


def not_reached(agents: Agents, region: str, instance_ids: Collection[str]) -> dict[str, str]:
    """Return, by instance, why SSM does not reach it now; nothing for those that it reaches."""
    managed, found = agents.managed(region, sorted(instance_ids)), {}
    for instance_id in instance_ids:
        one = managed.get(instance_id)
        if one is None:
            found[instance_id] = (
                "no SSM agent has registered there: see the SSM page of the account."
            )
        elif one.ping != ONLINE:
            found[instance_id] = (
                f"its SSM agent is not online (SSM says {one.ping}): see the SSM page of the account."
            )
    return found


@contextmanager
def told(call: Call) -> Iterator[None]:
    """Translate the SDK's exceptions inside the block to ours."""
    try:
        yield
    except translate.RAISED as error:
        raise translate.failure(error, call) from error


def _not_sent(error: Exception, call: Call, instance_ids: Sequence[str]) -> Exception:
    found = translate.failure(error, call)
    if isinstance(found, errors.AnswerLostError):
        return AnswerLostError(
            f"{call} was sent, and AWS's answer was lost: the instances may get it."
        )
    if found.code == "InvalidInstanceId":
        bad = [each for each in _ID.findall(str(error)) if each in instance_ids] or instance_ids
        return NotSentError(
            "SSM does not manage this instance now: see its agent and its state.", bad
        )
    again = isinstance(found, errors.ThrottledError | errors.UnreachableError)
    return NotSentError(str(found), again=again)


def _several(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{len(ids)} instances"


def _invocation(row: "CommandInvocationTypeDef") -> Invocation:
    plugins = row.get("CommandPlugins", [])
    return Invocation(
        row.get("CommandId", ""),
        row.get("InstanceId", ""),
        row.get("Status", ""),
        row.get("StatusDetails", ""),
        plugins[0].get("Output", "") if plugins else "",
    )


def _managed(row: "InstanceInformationTypeDef") -> ManagedInstance:
    platform = " ".join(
        part for part in (row.get("PlatformName", ""), row.get("PlatformVersion", "")) if part
    )
    return ManagedInstance(
        row.get("InstanceId", ""),
        row.get("PingStatus", ""),
        row.get("LastPingDateTime"),
        row.get("PlatformType", ""),
        platform,
        row.get("AgentVersion", ""),
    )
