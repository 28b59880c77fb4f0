"""Faults on demand: which calls fail, how, and how often."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from n2wbackup.demo.aws.answers import INSTANCE_CONNECT, ApiError
from n2wbackup.demo.aws.apicall import ApiCall

KINDS = (
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
)


@dataclass(slots=True)
class Fault:
    """One fault; see `Faults.add`."""

    action: str
    kind: str
    times: int | None
    seconds: float
    match: Mapping[str, str]
    region: str
    deed: bool
    dry_run: bool | None
    cleared: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Sleep the fault's seconds, or until it is cleared."""
        self.cleared.wait(self.seconds)


def _is_for(fault: Fault, call: ApiCall) -> bool:
    if fault.action != call.action or (fault.region and fault.region != call.region):
        return False
    if fault.dry_run is None and call.dry_run and fault.kind != "denied":
        return False
    if fault.dry_run is not None and fault.dry_run != call.dry_run:
        return False
    return all(value in _values(call.parameters, name) for name, value in fault.match.items())


def _values(parameters: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield all values of `name`: as Name, Outer.Name, Name.1 or a JSON list."""
    for key, value in parameters.items():
        parts = [part for part in key.split(".") if not part.isdigit()]
        if parts and parts[-1] in {name, f"{name}s"}:
            yield from (str(each) for each in (value if isinstance(value, list) else [value]))


class Faults:
    """The faults that wait for a matching call, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Apply the fault to the next matching calls: to `times` of them, or to all if that is None.

        `match` compares parameters by their last name ({"InstanceId": "i-…"}). `dry_run` None: only real
        calls, but both kinds for "denied".
        """
        if fault.kind not in KINDS:
            msg = f"There is no fault {fault.kind!r}: use one of {', '.join(KINDS)}."
            raise ValueError(msg)
        with self._lock:
            self._faults.append(fault)

    def take(self, call: ApiCall) -> Fault | None:
        """Return the fault for this call, and count it."""
        with self._lock:
            for fault in self._faults:
                if not _is_for(fault, call):
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                if fault.kind in {"slow", "hang"}:
                    self._waiting.append(fault)
                return fault
        return None

    def clear(self) -> None:
        """Remove every fault, and release the calls that wait in one."""
        with self._lock:
            for fault in [*self._faults, *self._waiting]:
                fault.cleared.set()
            self._faults.clear()
            self._waiting.clear()


def error_of(fault: Fault, call: ApiCall) -> ApiError | None:
    """Return the error that AWS answers with this fault; None if the fault is not an error."""
    if call.service == "ebs":
        return _error_of_ebs(fault)
    is_ssm = call.service in {"ssm", INSTANCE_CONNECT}
    if fault.kind == "throttle":
        return rate_exceeded(call)
    if fault.kind == "error_500":
        code = "InternalServerError" if is_ssm else "InternalError"
        message = "An internal error has occurred"
        return ApiError(code, message, HTTPStatus.INTERNAL_SERVER_ERROR)
    if fault.kind == "error_503":
        code = "ServiceUnavailable" if is_ssm else "Unavailable"
        message = "The service is unavailable. Please try again shortly."
        return ApiError(code, message, HTTPStatus.SERVICE_UNAVAILABLE)
    return None


def _error_of_ebs(fault: Fault) -> ApiError | None:
    if fault.kind == "throttle":
        return ApiError("RequestThrottledException", "Rate exceeded")
    if fault.kind in {"error_500", "error_503"}:
        message, status = "An internal error has occurred", HTTPStatus.INTERNAL_SERVER_ERROR
        return ApiError("InternalServerException", message, status)
    return None


def rate_exceeded(call: ApiCall) -> ApiError:
    """Return the service's error for too many calls."""
    if call.service == "ebs":
        return ApiError("RequestThrottledException", "Rate exceeded")
    if call.service in {"ssm", INSTANCE_CONNECT}:
        return ApiError("ThrottlingException", "Rate exceeded")
    message = "Request limit exceeded."
    return ApiError("RequestLimitExceeded", message, HTTPStatus.SERVICE_UNAVAILABLE)
