"""SSM's API for commands."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from n2wbackup.demo.aws.answers import ApiError, time_text
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.inventory import ACCOUNT_ID
from n2wbackup.demo.aws.simulator import Simulator
from n2wbackup.demo.aws.ssm_commands import ENDED, Command, Invocation, new_id

DOCUMENT = "AWS-RunShellScript"
PLUGIN = "aws:runShellScript"
INSTANCES = 50
PLUGIN_OUTPUT_CHARACTERS = 2500
_PAGE_SIZES = {"DescribeInstanceInformation": (5, 10), "ListCommandInvocations": (1, 50)}
_LARGEST_PAGE = 50
_T = TypeVar("_T")


def describe_instance_information(simulator: Simulator, call: ApiCall) -> dict[str, Any]:
    """Return the instances with an agent: those that have a folder and are running."""
    rows = []
    for instance in simulator.inventory.instances(call.region):
        if simulator.inventory.folder(instance.id) is None or instance.state == "terminated":
            continue
        is_lost = simulator.commands.agent(instance.id) == "lost" or instance.state != "running"
        rows.append(
            {
                "InstanceId": instance.id,
                "PingStatus": "ConnectionLost" if is_lost else "Online",
                "LastPingDateTime": time.time(),
                "AgentVersion": "3.3.1611.0",
                "IsLatestVersion": True,
                "PlatformType": "Linux",
                "PlatformName": "Amazon Linux",
                "PlatformVersion": "2023",
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
    if given.get("DocumentName") != DOCUMENT:
        message = f"document {given.get('DocumentName')} does not exist in your account"
        raise ApiError("InvalidDocument", message)
    script = given.get("Parameters", {})
    unknown = set(script) - {"commands", "workingDirectory", "executionTimeout"}
    if unknown or not script.get("commands"):
        message = "The parameters do not fit AWS-RunShellScript: it takes commands."
        raise ApiError("InvalidParameters", message)
    instance_ids = _target_ids(simulator, call)
    command = Command(
        command_id=new_id(),
        region=call.region,
        script="\n".join(script["commands"]) + "\n",
        working_directory=(script.get("workingDirectory") or [""])[0],
        execution_seconds=float((script.get("executionTimeout") or ["3600"])[0]),
        delivery_seconds=float(given.get("TimeoutSeconds", 3600)),
        comment=given.get("Comment", ""),
        parameters=script,
        requested_at=datetime.now(tz=UTC),
        requested=time.monotonic(),
        invocations={},
    )
    for instance_id in instance_ids:
        folder = simulator.inventory.folder(instance_id)
        if folder is not None:
            command.invocations[instance_id] = Invocation(instance_id, folder)
    simulator.commands.send(command, simulator.options.ssm_delivery_seconds)
    return {"Command": _command(command)}


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
        "Parameters": dict(command.parameters),
        "InstanceIds": list(command.invocations),
        "RequestedDateTime": requested,
        "Status": command.status(),
        "StatusDetails": command.status(),
        "TargetCount": len(command.invocations),
        "CompletedCount": len(ended),
        "ErrorCount": sum(each.status in {"Failed", "TimedOut"} for each in ended),
        "TimeoutSeconds": int(command.delivery_seconds),
    }


def get_command_invocation(simulator: Simulator, call: ApiCall) -> dict[str, Any]:
    """Return the state of a command on one instance; an error in the first moments after SendCommand."""
    command = simulator.commands.get(call.region, call.text("CommandId"))
    invocation = command.invocations.get(call.text("InstanceId")) if command else None
    if (
        command is None
        or invocation is None
        or time.monotonic() - command.requested < simulator.options.ssm_unknown_seconds
    ):
        raise ApiError("InvocationDoesNotExist", "")
    if call.text("PluginName") not in {"", PLUGIN}:
        raise ApiError("InvalidPluginName", "The plugin name is not valid.")
    has_ended = invocation.status in ENDED
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
        "StandardOutputContent": invocation.stdout if has_ended else "",
        "StandardOutputUrl": "",
        "StandardErrorContent": invocation.stderr if has_ended else "",
        "StandardErrorUrl": "",
    }


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
        if command_id in {"", command.command_id} and instance_id in {"", invocation.instance_id}
    ]
    for each in call.parameters.get("Filters", []):
        if each["key"] != "Status":
            raise ApiError("InvalidFilterKey", f"The filter {each['key']} is not simulated.")
        rows = [row for row in rows if row["Status"] == each["value"]]
    shown, token = _page(call, rows)
    return {"CommandInvocations": shown, "NextToken": token}


def _invocation(command: Command, invocation: Invocation, *, with_plugins: bool) -> dict[str, Any]:
    plugin: dict[str, Any] = {
        "Name": PLUGIN,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "ResponseCode": invocation.response_code,
        "Output": invocation.stdout[:PLUGIN_OUTPUT_CHARACTERS],
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
