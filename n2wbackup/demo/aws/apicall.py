"""An HTTP request, and the API call in it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One complete request; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call: its service, action, region, key and parameters.

    `parameters` are flat for the query services ("SnapshotId.1") and the JSON body for SSM.
    `scope` is the signed credential scope: date, region, service.
    """

    service: str
    action: str
    region: str
    access_key_id: str
    scope: tuple[str, str, str]
    dry_run: bool
    parameters: Mapping[str, Any]
    http: HttpRequest
    caller: str = ""  # the number of the AWS account whose key signed it, once that is known

    def text(self, name: str) -> str:
        """Return a parameter; "" if it is missing."""
        return str(self.parameters.get(name, ""))

    def flag(self, name: str) -> bool:
        """Return a boolean parameter; False if it is missing."""
        return self.text(name).lower() == "true"

    def values(self, name: str) -> list[str]:
        """Return a flat list parameter (`name.1`, `name.2` …), ordered by number."""
        return [str(group[""]) for group in self.groups(name) if "" in group]

    def groups(self, name: str) -> list[dict[str, str]]:
        """Return the members of `name.N.…`: one mapping per N, its keys are the parts after the number."""
        found: dict[int, dict[str, str]] = {}
        for key, value in self.parameters.items():
            if not key.startswith(f"{name}."):
                continue
            number, _, rest = key[len(name) + 1 :].partition(".")
            if number.isdigit():
                found.setdefault(int(number), {})[rest] = value
        return [found[number] for number in sorted(found)]

    def permissions(self) -> tuple[str, ...]:
        """Return the IAM actions that the call needs; tags at creation need a second action."""
        needed = [f"{self.service}:{self.action}"]
        if self.service == "ec2" and any(
            key.startswith("TagSpecification.") for key in self.parameters
        ):
            needed.append("ec2:CreateTags")
        if self.action == "RunInstances" and self.text("IamInstanceProfile.Arn"):
            needed.append("iam:PassRole")
        return tuple(needed)


def members(group: Mapping[str, str], name: str) -> list[dict[str, str]]:
    """Return the members of a list inside one group, as `ApiCall.groups` does for a call."""
    found: dict[int, dict[str, str]] = {}
    for key, value in group.items():
        head, _, rest = key.partition(".")
        number, _, inner = rest.partition(".")
        if head == name and number.isdigit():
            found.setdefault(int(number), {})[inner] = value
    return [found[number] for number in sorted(found)]


def _signer(http: HttpRequest) -> tuple[str, tuple[str, str, str]]:
    """Return the access key id and the credential scope; both are empty if the request is not signed."""
    _, _, credential = http.headers.get("authorization", "").partition("Credential=")
    parts = credential.partition(",")[0].strip().split("/")
    if len(parts) != len(("key", "date", "region", "service", "aws4_request")):
        return "", ("", "", "")
    return parts[0], (parts[1], parts[2], parts[3])


_EBS = (
    ("ListSnapshotBlocks", re.compile(r"/snapshots/(?P<SnapshotId>[^/]+)/blocks")),
    (
        "GetSnapshotBlock",
        re.compile(r"/snapshots/(?P<SnapshotId>[^/]+)/blocks/(?P<BlockIndex>[^/]+)"),
    ),
    ("ListChangedBlocks", re.compile(r"/snapshots/(?P<SecondSnapshotId>[^/]+)/changedblocks")),
)
_EBS_NAMES = {
    "blockToken": "BlockToken",
    "firstSnapshotId": "FirstSnapshotId",
    "maxResults": "MaxResults",
    "pageToken": "NextToken",
    "startingBlockIndex": "StartingBlockIndex",
}


def _of_ebs(http: HttpRequest, query: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the action and the parameters of a call to EBS: its path says the first, and some of the others."""
    parameters = {_EBS_NAMES.get(name, name): value for name, value in query.items()}
    for action, pattern in _EBS:
        if http.method == "GET" and (found := pattern.fullmatch(unquote(http.path))):
            return action, {**parameters, **found.groupdict()}
    return f"{http.method} {http.path}", parameters


def parse(http: HttpRequest) -> ApiCall:
    """Return the call in the request; ValueError if the body cannot be parsed."""
    access_key_id, scope = _signer(http)
    target = http.headers.get("x-amz-target", "")
    parameters: dict[str, Any]
    if target:
        action = target.rpartition(".")[2]
        parameters = json.loads(http.body or b"{}")
    else:
        pairs = parse_qsl(http.query, keep_blank_values=True)
        if "x-www-form-urlencoded" in http.headers.get("content-type", ""):
            pairs += parse_qsl(http.body.decode(), keep_blank_values=True)
        parameters = dict(pairs)
        # S3 has no action in its requests: the method and the path say it.
        plain = "GetObject" if scope[2] == "s3" and http.method == "GET" else ""
        action = parameters.pop("Action", plain or f"{http.method} {http.path}")
        parameters.pop("Version", None)
    if scope[2] == "ebs":
        action, parameters = _of_ebs(http, parameters)
    dry_run = str(parameters.get("DryRun", "")).lower() == "true"
    return ApiCall(scope[2], action, scope[1], access_key_id, scope, dry_run, parameters, http)
