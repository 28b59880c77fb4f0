"""SSM's API for commands."""

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from n2wbackup.demo.aws.answers import ApiError, time_text
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.inventory import ACCOUNT_ID
from n2wbackup.demo.aws.simulator import Simulator
from n2wbackup.demo.aws.ssm_commands import ENDED, Command, Invocation, new_id
from n2wbackup.demo.aws.ssm_outputs import (
    STDERR_CHARACTERS,
    STDOUT_CHARACTERS,
    OutputPlaces,
    content,
    plugin_output,
)

DOCUMENT = "AWS-RunShellScript"
PLUGIN = "aws:runShellScript"
INSTANCES = 50
TIMEOUT_SECONDS = (30, 2_592_000)
COMMENT_CHARACTERS = 100
DOCUMENT_BYTES = 64 * 1024
_LEAST_EXECUTION_SECONDS, _EXECUTION_SECONDS = 5, 3600
_EXECUTION = re.compile(
    r"[1-9][0-9]{0,4}|1[0-6][0-9]{4}|17[0-1][0-9]{3}|172[0-7][0-9]{2}|172800"
)  # as the document says it
_COUNT = re.compile(r"(\d+)(%?)")
_PARAMETER = re.compile(r"\{\{\s*ssm:([\w./-]+)\s*\}\}")
_PAGE_SIZES = {"DescribeInstanceInformation": (5, 10), "ListCommandInvocations": (1, 50)}
_LARGEST_PAGE = 50
_PLATFORMS = {"Linux": ("Amazon Linux", "2023"), "Windows": ("Windows Server 2022", "10.0.20348")}
_T = TypeVar("_T")


def describe_instance_information(simulator: Simulator, call: ApiCall) -> dict[str, Any]:
    """Return the instances with an agent: those that have a folder and are running."""
    rows = []
    for instance in simulator.inventory.instances(call.region):
        if simulator.inventory.folder(instance.id) is None or instance.state == "terminated":
            continue
        agent = simulator.commands.agents.of(instance.id)
        is_lost = not agent.is_reached() or instance.state != "running"
        rows.append(
            {
                "InstanceId": instance.id,
                "PingStatus": "ConnectionLost" if is_lost else "Online",
                "LastPingDateTime": time.time(),
                "AgentVersion": agent.version,
                "IsLatestVersion": True,
                "PlatformType": agent.platform,
                "PlatformName": _PLATFORMS[agent.platform][0],
                "PlatformVersion": _PLATFORMS[agent.platform][1],
                "ResourceType": "EC2Instance",
                "IPAddress": instance.private_ip,
                "ComputerName": instance.private_dns_name,
            }
        )
    for name, values in _information_filters(call):
        rows = [row for row in rows if row[name] in values]
    shown, token = _page(call, rows)
    return {"InstanceInformationList": shown, "NextToken": token}


def _information_filters(call: ApiCall) -> list[tuple[str, list[str]]]:
    names = {
        "InstanceIds": "InstanceId",
        "PingStatus": "PingStatus",
        "PlatformTypes": "PlatformType",
        "AgentVersion": "AgentVersion",
        "ResourceType": "ResourceType",
    }
    found = [(each["Key"], each["Values"]) for each in call.parameters.get("Filters", [])]
    legacy = call.parameters.get("InstanceInformationFilterList", [])
    found += [(each["key"], each["valueSet"]) for each in legacy]
    for key, _ in found:
        if key not in names:
            raise ApiError("InvalidFilterKey", f"The specified key is not valid: {key}")
    return [(names[key], list(values)) for key, values in found]


def _page(call: ApiCall, rows: Sequence[_T]) -> tuple[list[_T], str | None]:
    """Return the requested page; the token is the number of the next page's first row."""
    least, default = _PAGE_SIZES[call.action]
    size = int(call.parameters.get("MaxResults", default))
    if not least <= size <= _LARGEST_PAGE:
        message = f"MaxResults must be from {least} to {_LARGEST_PAGE}."
        raise ApiError("ValidationException", message)
    token = call.text("NextToken") or "0"
    if not token.isdigit():
        raise ApiError("InvalidNextToken", "The specified token is not valid.")
    start = int(token)
    more = start + size < len(rows)
    return list(rows[start : start + size]), str(start + size) if more else None


def send_command(simulator: Simulator, call: ApiCall) -> dict[str, Any]:
    """Send a shell script to instances; returns before any instance has received it."""
    given = call.parameters
    _refuse_unfit(given)
    instance_ids = _target_ids(simulator, call)
    script = _resolved(given["Parameters"], simulator.commands.parameters)
    command = Command(
        command_id=new_id(),
        region=call.region,
        script="\n".join(script["commands"]) + "\n",
        working_directory=(script.get("workingDirectory") or [""])[0],
        execution_seconds=_execution_seconds(script),
        delivery_seconds=float(given.get("TimeoutSeconds", 3600)),
        comment=given.get("Comment", ""),
        parameters=given["Parameters"],
        requested_at=datetime.now(tz=UTC),
        requested=time.monotonic(),
        invocations={},
        concurrency=max(1, _count(given.get("MaxConcurrency", "50"), len(instance_ids))),
        errors=_count(given.get("MaxErrors", "0"), len(instance_ids)),
        places=OutputPlaces.of(given),
    )
    for instance_id in instance_ids:
        folder = simulator.inventory.folder(instance_id)
        if folder is not None:
            command.invocations[instance_id] = Invocation(instance_id, folder)
    simulator.commands.send(command)
    return {"Command": _command(command)}


def _refuse_unfit(given: Mapping[str, Any]) -> None:
    """Raise AWS's error about a request that does not fit the API or the document."""
    if given.get("DocumentName") != DOCUMENT:
        message = f"document {given.get('DocumentName')} does not exist in your account"
        raise ApiError("InvalidDocument", message)
    script = given.get("Parameters", {})
    unknown = set(script) - {"commands", "workingDirectory", "executionTimeout"}
    limits = [each for each in script.get("executionTimeout", []) if not _EXECUTION.fullmatch(each)]
    if unknown or limits or not script.get("commands"):
        message = "The parameters do not fit AWS-RunShellScript: it takes commands."
        raise ApiError("InvalidParameters", message)
    least, most = TIMEOUT_SECONDS
    if not least <= int(given.get("TimeoutSeconds", least)) <= most:
        message = f"timeoutSeconds: Member must have value from {least} to {most}"
        raise ApiError("ValidationException", message)
    if len(given.get("Comment", "")) > COMMENT_CHARACTERS:
        message = f"comment: Member must have length less than or equal to {COMMENT_CHARACTERS}"
        raise ApiError("ValidationException", message)
    if len(json.dumps(script).encode()) > DOCUMENT_BYTES:
        raise ApiError("MaxDocumentSizeExceeded", "The size limit of a document is 64 KB.")
    for name in ("MaxConcurrency", "MaxErrors"):
        if not _COUNT.fullmatch(str(given.get(name, "0"))):
            raise ApiError("ValidationException", f"{name} must be a number or a percentage.")


def _resolved(script: Mapping[str, list[str]], known: Mapping[str, str]) -> dict[str, list[str]]:
    """Replace each {{ssm:name}} by its value in Parameter Store, as SSM does before it sends anything."""

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in known:
            raise ApiError("InvalidParameters", f"Parameters [ssm:{name}] could not be resolved.")
        return known[name]

    return {key: [_PARAMETER.sub(value, one) for one in values] for key, values in script.items()}


def _execution_seconds(script: Mapping[str, list[str]]) -> float:
    """Return the timeout that the agent uses: one that is too short for it is not used at all."""
    wanted = int((script.get("executionTimeout") or [str(_EXECUTION_SECONDS)])[0])
    return float(wanted if wanted >= _LEAST_EXECUTION_SECONDS else _EXECUTION_SECONDS)


def _count(given: str, targets: int) -> int:
    """Return the number that "5" or "10%" means for so many targets."""
    found = _COUNT.fullmatch(str(given))
    number = int(found.group(1)) if found else 0
    is_part = bool(found and found.group(2))
    return math.ceil(targets * number / 100) if is_part else number


def _target_ids(simulator: Simulator, call: ApiCall) -> list[str]:
    """Return the instances of the call; InvalidInstanceId if SSM does not manage one of them."""
    ids = list(call.parameters.get("InstanceIds", []))
    for target in call.parameters.get("Targets", []):
        if target.get("Key") == "InstanceIds":
            ids += target.get("Values", [])
        elif str(target.get("Key", "")).startswith("tag:"):
            key = str(target["Key"]).removeprefix("tag:")
            ids += [
                each.id
                for each in simulator.inventory.instances(call.region)
                if simulator.inventory.tags(call.region, each.id).get(key) in target["Values"]
                and _is_managed(simulator, call.region, each.id)
            ]
    if len(ids) > INSTANCES:
        raise ApiError("ValidationException", f"At most {INSTANCES} instances can be named.")
    if len(set(ids)) < len(ids):
        raise ApiError("DuplicateInstanceId", "You can't specify an instance ID twice.")
    bad = [each for each in ids if not _is_managed(simulator, call.region, each)]
    if bad or not ids:
        message = f"Instances [[{', '.join(bad)}]] not in a valid state for account {ACCOUNT_ID}"
        raise ApiError("InvalidInstanceId", message)
    return ids


def _is_managed(simulator: Simulator, region: str, instance_id: str) -> bool:
    if simulator.inventory.folder(instance_id) is None:
        return False
    try:
        return simulator.inventory.instance(region, instance_id).state == "running"
    except ApiError:
        return False


def _command(command: Command) -> dict[str, Any]:
    ended = [each for each in command.invocations.values() if each.status in ENDED]
    requested = command.requested_at.timestamp()
    return {
        "CommandId": command.command_id,
        "DocumentName": DOCUMENT,
        "Comment": command.comment,
        "ExpiresAfter": requested + command.delivery_seconds + command.execution_seconds,
        "OutputS3BucketName": command.places.bucket,
        "OutputS3KeyPrefix": command.places.prefix,
        "CloudWatchOutputConfig": _logs(command),
        "Parameters": dict(command.parameters),
        "InstanceIds": list(command.invocations),
        "RequestedDateTime": requested,
        "Status": command.status(),
        "StatusDetails": command.status(),
        "TargetCount": len(command.invocations),
        "CompletedCount": len(ended),
        "ErrorCount": sum(each.details in {"Failed", "ExecutionTimedOut"} for each in ended),
        "DeliveryTimedOutCount": sum(each.details == "DeliveryTimedOut" for each in ended),
        "TimeoutSeconds": int(command.delivery_seconds),
    }


def get_command_invocation(simulator: Simulator, call: ApiCall) -> dict[str, Any]:
    """Return the state of a command on one instance; an error in the first moments after SendCommand."""
    command = simulator.commands.get(call.region, call.text("CommandId"))
    invocation = command.invocations.get(call.text("InstanceId")) if command else None
    if command is None or invocation is None or not _is_known(simulator, command):
        raise ApiError("InvocationDoesNotExist", "")
    if call.text("PluginName") not in {"", PLUGIN}:
        raise ApiError("InvalidPluginName", "The plugin name is not valid.")
    # The output of a command that was cut short is never shown.
    has_output = invocation.status in {"Success", "Failed"}
    stdout, stderr = _contents(invocation) if has_output else ("", "")
    out_url, error_url = _urls(command, invocation)
    return {
        "CommandId": command.command_id,
        "InstanceId": invocation.instance_id,
        "Comment": command.comment,
        "DocumentName": DOCUMENT,
        "DocumentVersion": "$DEFAULT",
        "PluginName": PLUGIN,
        "ResponseCode": invocation.response_code,
        "ExecutionStartDateTime": _text(invocation.started_at),
        "ExecutionElapsedTime": _elapsed(invocation),
        "ExecutionEndDateTime": _text(invocation.ended_at),
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "StandardOutputContent": stdout,
        "StandardOutputUrl": out_url,
        "StandardErrorContent": stderr,
        "StandardErrorUrl": error_url,
        "CloudWatchOutputConfig": _logs(command),
    }


def _is_known(simulator: Simulator, command: Command) -> bool:
    """Tell whether SSM shows the command already: it does not right after SendCommand."""
    return time.monotonic() - command.requested >= simulator.options.ssm_unknown_seconds


def _contents(invocation: Invocation) -> tuple[str, str]:
    return (
        content(invocation.stdout, STDOUT_CHARACTERS),
        content(invocation.stderr, STDERR_CHARACTERS),
    )


def _urls(command: Command, invocation: Invocation) -> tuple[str, str]:
    keys = [
        command.places.key(command.command_id, invocation.instance_id, stream)
        for stream in ("stdout", "stderr")
    ]
    host = f"https://s3.{command.region}.amazonaws.com/{command.places.bucket}"
    urls = [f"{host}/{key}" if key else "" for key in keys]
    return urls[0], urls[1]


def _logs(command: Command) -> dict[str, Any]:
    group = command.places.group
    return {"CloudWatchLogGroupName": group, "CloudWatchOutputEnabled": bool(group)}


def _text(at: datetime | None) -> str:
    return time_text(at) if at else ""


def _elapsed(invocation: Invocation) -> str:
    if invocation.started_at is None or invocation.ended_at is None:
        return ""
    seconds = (invocation.ended_at - invocation.started_at) / timedelta(seconds=1)
    return f"PT{seconds:.3f}S"


def list_command_invocations(simulator: Simulator, call: ApiCall) -> dict[str, Any]:
    """Return invocations, newest first; of one command or instance if it is given."""
    command_id, instance_id = call.text("CommandId"), call.text("InstanceId")
    rows = [
        _invocation(command, invocation, with_plugins=bool(call.parameters.get("Details")))
        for command in simulator.commands.all(call.region)
        for invocation in command.invocations.values()
        if command_id in {"", command.command_id}
        and instance_id in {"", invocation.instance_id}
        and _is_known(simulator, command)
    ]
    for each in call.parameters.get("Filters", []):
        if each["key"] == "InvokedAfter":
            after = datetime.fromisoformat(each["value"]).timestamp()
            rows = [row for row in rows if row["RequestedDateTime"] >= after]
        elif each["key"] == "Status":
            rows = [row for row in rows if row["Status"] == each["value"]]
        else:
            raise ApiError("InvalidFilterKey", f"The filter {each['key']} is not simulated.")
    shown, token = _page(call, rows)
    return {"CommandInvocations": shown, "NextToken": token}


def _invocation(command: Command, invocation: Invocation, *, with_plugins: bool) -> dict[str, Any]:
    has_ended = invocation.status in ENDED
    stdout, stderr = _contents(invocation) if has_ended else ("", "")
    # A plugin is never Delayed or Cancelling.
    words = {"Delayed": "Pending", "Cancelling": "InProgress"}
    plugin: dict[str, Any] = {
        "Name": PLUGIN,
        "Status": words.get(invocation.status, invocation.status),
        "StatusDetails": invocation.details,
        "ResponseCode": invocation.response_code,
        "Output": plugin_output(stdout, stderr),
    }
    if invocation.started_at:
        plugin["ResponseStartDateTime"] = invocation.started_at.timestamp()
    if invocation.ended_at:
        plugin["ResponseFinishDateTime"] = invocation.ended_at.timestamp()
    return {
        "CommandId": command.command_id,
        "InstanceId": invocation.instance_id,
        "Comment": command.comment,
        "DocumentName": DOCUMENT,
        "RequestedDateTime": command.requested_at.timestamp(),
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "CommandPlugins": [plugin] if with_plugins else [],
    }


def cancel_command(simulator: Simulator, call: ApiCall) -> dict[str, Any]:
    """Cancel a running command; a command that has ended stays as it is."""
    command = simulator.commands.get(call.region, call.text("CommandId"))
    if command is None:
        raise ApiError("InvalidCommandId", "The command ID is not valid.")
    simulator.commands.cancel(command, call.parameters.get("InstanceIds", []))
    return {}
