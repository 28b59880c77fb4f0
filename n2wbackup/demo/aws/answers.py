"""The answers over the wire: the XML of EC2 and STS, SSM's JSON, and their errors."""

import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from xml.sax.saxutils import escape

INSTANCE_CONNECT = "ec2-instance-connect"
EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `outcome` is "ok" or the error code in its body."""

    status: int
    content_type: str
    body: bytes
    outcome: str = "ok"
    headers: tuple[tuple[str, str], ...] = ()


class ApiError(Exception):
    """An error with AWS's own code and message."""

    def __init__(
        self, code: str, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class DroppedError(Exception):
    """Raised to close the connection without an answer."""


def time_text(at: datetime) -> str:
    """Return a time in EC2's format; moto's times without time zone are UTC."""
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (
        aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{aware.microsecond // 1000:03d}Z"
    )


IAM_NAMESPACE = "https://iam.amazonaws.com/doc/2010-05-08/"


def _xml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, Mapping):
        members = value.get("member")
        if isinstance(members, list):
            return "".join(f"<member>{_xml(inner)}</member>" for inner in members)
        return "".join(
            f"<{name}>{_xml(inner)}</{name}>" for name, inner in value.items() if inner is not None
        )
    if isinstance(value, list):
        return "".join(f"<item>{_xml(inner)}</item>" for inner in value)
    return escape(str(value))


def without(content: object, names: Collection[str]) -> object:
    """Return the content without these members, at any depth."""
    if isinstance(content, Mapping):
        kept = {name: inner for name, inner in content.items() if name not in names}
        return {name: without(inner, names) for name, inner in kept.items()}
    return [without(inner, names) for inner in content] if isinstance(content, list) else content


def ec2(action: str, content: object) -> Answer:
    """Return EC2's XML: members of a mapping by name, of a list as `item`; None is left out."""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{EC2_NAMESPACE}">'
        f"<requestId>{uuid.uuid4()}</requestId>{_xml(content)}</{action}Response>"
    )
    return Answer(HTTPStatus.OK, "text/xml;charset=UTF-8", body.encode())


def sts(action: str, content: Mapping[str, object]) -> Answer:
    """Return STS's XML: members of a mapping by name."""
    body = (
        f'<{action}Response xmlns="{STS_NAMESPACE}"><{action}Result>{_xml(content)}</{action}Result>'
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{action}Response>"
    )
    return Answer(HTTPStatus.OK, "text/xml", body.encode())


def iam(action: str, content: Mapping[str, object]) -> Answer:
    """Return IAM's XML: like STS's, but a list as `member` is repeated."""
    body = (
        f'<{action}Response xmlns="{IAM_NAMESPACE}"><{action}Result>{_xml(content)}</{action}Result>'
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{action}Response>"
    )
    return Answer(HTTPStatus.OK, "text/xml", body.encode())


def ssm(content: Mapping[str, Any]) -> Answer:
    """Return the JSON of SSM and of CloudWatch Logs; None is left out at the top level."""
    present = {name: value for name, value in content.items() if value is not None}
    return Answer(HTTPStatus.OK, "application/x-amz-json-1.1", json.dumps(present).encode())


def refusal(service: str, error: ApiError) -> Answer:
    """Return the error in the protocol of the called service."""
    if service == "ebs":
        return _refusal_of_ebs(error)
    if service in {"ssm", "logs", INSTANCE_CONNECT}:
        body = json.dumps(
            {"__type": error.code, "message": error.message, "Message": error.message}
        )
        return Answer(error.status, "application/x-amz-json-1.1", body.encode(), error.code)
    text = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    if service == "ec2":
        xml = (
            f"<Response><Errors><Error>{text}</Error></Errors>"
            f"<RequestID>{uuid.uuid4()}</RequestID></Response>"
        )
    else:
        xml = (
            f'<ErrorResponse xmlns="{STS_NAMESPACE}"><Error><Type>Sender</Type>{text}</Error>'
            f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
        )
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}'
    return Answer(error.status, "text/xml;charset=UTF-8", body.encode(), error.code)


def _refusal_of_ebs(error: ApiError) -> Answer:
    """Return the error as REST services do in JSON: its code is in a header."""
    said = {"Message": error.message, "Reason": getattr(error, "reason", None)}
    body = json.dumps({name: value for name, value in said.items() if value}).encode()
    headers = (("x-amzn-ErrorType", error.code),)
    return Answer(error.status, "application/json", body, error.code, headers)
