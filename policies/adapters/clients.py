"""The EC2 clients of one account: created once for each region, then found without a lock."""

from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from policies.adapters import firing, loading, translate
from policies.adapters.identities import Identity
from policies.adapters.translate import Call
from policies.domain.errors import RegionError
from policies.ports import Credentials

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ssm import SSMClient

CONNECTIONS = 100  # more than the calls that may fire at once in a region
CONNECT_SECONDS = 2
_REGIONS = 40  # more than AWS has; a mistyped region counts, too
_OTHERS = 40
_COMMANDING = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},
    connect_timeout=CONNECT_SECONDS,
    read_timeout=5,
    max_pool_connections=20,
    tcp_keepalive=True,
    user_agent=loading.USER_AGENT,
)
_CONNECTING = Config(
    retries={"total_max_attempts": 3, "mode": "standard"},
    connect_timeout=3,
    read_timeout=5,
    max_pool_connections=20,
    tcp_keepalive=True,
    user_agent=loading.USER_AGENT,
)
_FIRING = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},
    parameter_validation=False,  # it takes a tenth of a call's own time, and mypy has checked the types
    connect_timeout=CONNECT_SECONDS,
    read_timeout=10,
    max_pool_connections=CONNECTIONS,
    tcp_keepalive=True,
    user_agent=loading.USER_AGENT,
)
_ONCE = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=20,
    tcp_keepalive=True,
    user_agent=loading.USER_AGENT,
)
_READING = Config(
    retries={"total_max_attempts": 3, "mode": "standard"},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=20,
    tcp_keepalive=True,
    user_agent=loading.USER_AGENT,
)
_READING_EC2 = _READING.merge(Config(parameter_validation=False))  # as for the window


class Clients:
    """The clients of one account; each uses the environment (AWS_*) of its creation."""

    def __init__(self, credentials: Credentials) -> None:
        """Keep the credentials; no client is created yet."""
        self._identity = Identity(credentials)
        self._sessions: dict[bool, boto3.Session] = {}
        self._made: dict[tuple[str, bool], EC2Client] = {}
        self._others: dict[tuple[str, str, bool], Any] = {}

    def renew(self, seconds: float) -> None:
        """Sign the window's calls with credentials that are valid for so many seconds, see `Identity`."""
        self._identity.renew(seconds)

    def firing(self, call: Call) -> "EC2Client":
        """Return the client for the window: one attempt, on the connections that `warm` has opened."""
        return self._client(call, fires=True)

    def reading(self, call: Call) -> "EC2Client":
        """Return the client for calls that may be repeated: it tries up to three times."""
        return self._client(call, fires=False)

    def once(self, call: Call) -> "EC2Client":
        """Return the client for calls that must not be repeated and are made outside of windows: one attempt."""
        made: EC2Client = self._beside("ec2", call, _ONCE, fires=False)
        return made

    def asking(self, call: Call) -> Any:  # noqa: ANN401 - STS's stubs are not among the packages
        """Return a new STS client, for GetCallerIdentity; not stored, as that is rarely called."""
        session = self._session(fires=False)
        with loading.MAKING:
            return session.client("sts", region_name=call.region, config=_READING)

    def commanding(self, call: Call) -> "SSMClient":
        """Return the SSM client for the window: one attempt, with the credentials that `renew` has got."""
        made: SSMClient = self._beside("ssm", call, _COMMANDING, fires=True)
        return made

    def connecting(self, call: Call) -> Any:  # noqa: ANN401 - its stubs are not among the packages
        """Return the client of EC2 Instance Connect: a run waits for it before its window, so not for long."""
        return self._beside("ec2-instance-connect", call, _CONNECTING, fires=False)

    def reading_of(self, service: str, call: Call) -> Any:  # noqa: ANN401 - of services without stubs
        """Return a client of another service than EC2 for calls that may be repeated."""
        return self._beside(service, call, _READING, fires=False)

    def _beside(self, service: str, call: Call, config: Config, *, fires: bool) -> Any:  # noqa: ANN401
        key = (service, call.region, fires)
        client = self._others.get(key)
        if client is None:
            session = self._session(fires=fires)  # asks AWS, so before the lock
            with loading.MAKING:
                make: Any = session.client  # its stubs know each service by a literal
                client = self._others.get(key) or make(
                    service, region_name=call.region, config=config
                )
                while len(self._others) >= _OTHERS:
                    del self._others[next(iter(self._others))]
                self._others[key] = client
        return client

    def _client(self, call: Call, *, fires: bool) -> "EC2Client":
        key = (call.region, fires)
        client = self._made.get(key)
        if client is None:
            if not call.region:
                raise RegionError(f"{call.action} failed: no region was given; enter one.")
            session = self._session(fires=fires)  # asks AWS, so before the lock
            with loading.MAKING:
                client = self._made.get(key) or _make(session, call, fires=fires)
                while len(self._made) >= 2 * _REGIONS:
                    del self._made[next(iter(self._made))]
                self._made[key] = client
        return client

    def _session(self, *, fires: bool) -> boto3.Session:
        session = self._sessions.get(fires)
        if session is None:
            session = self._sessions[fires] = self._identity.session(fires=fires)
        return session


def _make(session: boto3.Session, call: Call, *, fires: bool) -> "EC2Client":
    try:
        client = session.client(
            "ec2", region_name=call.region, config=_FIRING if fires else _READING_EC2
        )
    except BotoCoreError:
        raise
    except ValueError as error:
        raise translate.no_url(call) from error
    if fires:
        firing.fit(client)
    return client
