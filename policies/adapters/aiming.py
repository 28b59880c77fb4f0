"""A call of the window in three parts: built and signed before it, sent inside, its answer read after the thaw.

Inside the window each millisecond counts. botocore takes most of a call's own time to build the request and to read
the answer; here only sending is left. What decides in the window is known at once: whether AWS refuses.
"""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse
from botocore.endpoint import convert_to_response_dict
from botocore.parsers import ResponseParserFactory

from policies.adapters import firing, loading

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# AWS takes a signature for five minutes, and this server's clock may be off by some of them.
SIGNED_FOR_SECONDS = 60.0
_parsers = ResponseParserFactory()
_parsers.set_parser_defaults(timestamp_parser=loading.moment)  # as all our clients do


class Aimed:
    """One call that is ready to be sent."""

    def __init__(self, client: "EC2Client", action: str, ask: Callable[[], object]) -> None:
        """Build and sign what `ask`, which calls the client once, would send; nothing is sent."""
        self._client: Any = client
        self._model: Any = client.meta.service_model.operation_model(action)
        self._ask = ask
        self._sign()

    def _sign(self) -> None:
        self._signed = _clocks()
        self._request: Any = firing.caught(self._ask)  # the stubs do not know its context

    @property
    def _is_fresh(self) -> bool:
        """Tell whether AWS will take the signature, if the clock was set meanwhile, too."""
        return all(
            0.0 <= now - then <= SIGNED_FOR_SECONDS
            for now, then in zip(_clocks(), self._signed, strict=True)
        )

    def send(self, timeout_seconds: float) -> Callable[[], Any]:
        """Send it, and return once the whole answer is here, with what reads it; a refusal is raised at once."""
        if not self._is_fresh:
            self._sign()
        self._request.context["read_timeout"] = timeout_seconds
        answer: AWSResponse = self._client._endpoint.http_session.send(self._request)  # noqa: SLF001 - no other way
        if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            self._read(answer)
        return lambda: self._read(answer)

    def _read(self, answer: AWSResponse) -> Any:  # noqa: ANN401 - as the SDK's own
        """Return what the client would return, or raise what it would raise."""
        parser = _parsers.create_parser(self._model.service_model.resolved_protocol)
        said = convert_to_response_dict(answer, self._model)
        parsed = parser.parse(said, self._model.output_shape)
        if answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
            return parsed
        kind = self._client.exceptions.from_code(parsed.get("Error", {}).get("Code"))
        raise kind(parsed, self._model.name)


def _clocks() -> tuple[float, float]:
    """Return the wall clock, which the signature names, and the seconds since boot."""
    return time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
