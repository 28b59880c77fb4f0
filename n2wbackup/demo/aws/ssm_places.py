"""What SSM's users need beside it: outputs in S3 and CloudWatch Logs, and the roles of instances in IAM."""

import time
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from n2wbackup.demo.aws.answers import Answer, ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.inventory import ACCOUNT_ID
from n2wbackup.demo.aws.simulator import Simulator

_EVENTS_A_PAGE = 10


def get_object(simulator: Simulator, call: ApiCall) -> Answer:
    """Return an object of S3; only GetObject is simulated."""
    bucket, _, key = unquote(call.http.path).lstrip("/").partition("/")
    found = simulator.commands.outputs.object(bucket, key)
    if call.http.method != "GET" or found is None:
        raise ApiError("NoSuchKey", "The specified key does not exist.", HTTPStatus.NOT_FOUND)
    return Answer(HTTPStatus.OK, "binary/octet-stream", found)


def get_log_events(simulator: Simulator, call: ApiCall) -> dict[str, Any]:
    """Return the events of a stream from its head, page by page; the last page repeats its token."""
    group, stream = call.text("logGroupName"), call.text("logStreamName")
    events = simulator.commands.outputs.events(group, stream)
    if events is None:
        raise ApiError("ResourceNotFoundException", "The specified log stream does not exist.")
    token = call.text("nextToken").removeprefix("f/") or "0"
    start = int(token) if token.isdigit() else 0
    shown = events[start : start + _EVENTS_A_PAGE]
    at = int(time.time() * 1000)
    rows = [{"timestamp": at, "ingestionTime": at, "message": each} for each in shown]
    return {"events": rows, "nextForwardToken": f"f/{start + len(shown)}"}


def get_instance_profile(simulator: Simulator, call: ApiCall) -> dict[str, Any]:
    """Return the profile with its role; a profile has the name of its role."""
    name = call.text("InstanceProfileName")
    if all(role != name for role, _ in simulator.roles.values()):
        raise _no_such(f"Instance Profile {name}")
    arn = f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"
    roles = {"member": {"RoleName": name, "Arn": arn, "Path": "/"}}
    return {"InstanceProfile": {"InstanceProfileName": name, "Roles": roles}}


def list_attached_role_policies(simulator: Simulator, call: ApiCall) -> dict[str, Any]:
    """Return the managed policies of a role."""
    name = call.text("RoleName")
    found = [policies for role, policies in simulator.roles.values() if role == name]
    if not found:
        raise _no_such(f"The role with name {name}")
    attached = [
        {"PolicyName": each, "PolicyArn": f"arn:aws:iam::aws:policy/{each}"} for each in found[0]
    ]
    return {"AttachedPolicies": {"member": attached}, "IsTruncated": False}


def _no_such(what: str) -> ApiError:
    return ApiError("NoSuchEntity", f"{what} cannot be found.", HTTPStatus.NOT_FOUND)
