"""The EC2 clients of one account: made once for each region, then found without a lock."""

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader

from policies.adapters import firing, translate
from policies.adapters.translate import Call
from policies.domain.errors import CredentialsError, RegionError
from policies.ports import Credentials

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

CONNECTIONS = 100  # more than may fire at once in a region
CONNECT_SECONDS = 2
_REGIONS = 40  # more than there are; a mistyped region is one too
# Sessions share one loader, and neither it nor the making of clients is thread-safe; using them is.
_MAKING = threading.Lock()
_FIRING = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},
    parameter_validation=False,  # a tenth of a call's own time, for what mypy has looked at
    connect_timeout=CONNECT_SECONDS,
    read_timeout=10,
    max_pool_connections=CONNECTIONS,
    tcp_keepalive=True,
    user_agent_extra="n2wbackup",
)
_READING = Config(
    retries={"total_max_attempts": 3, "mode": "standard"},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=20,
    tcp_keepalive=True,
    user_agent_extra="n2wbackup",
)


@lru_cache(maxsize=1)
def _loader() -> Loader:
    """Return the loader of all sessions: EC2's model takes tens of megabytes for each other one."""
    return cast("Loader", botocore.session.Session().get_component("data_loader"))


class Clients:
    """The clients of one account, as the environment (AWS_*) was when each was made."""

    def __init__(self, credentials: Credentials) -> None:
        """Keep the credentials; nothing is made yet."""
        self._credentials = credentials
        self._session: boto3.Session | None = None
        self._made: dict[tuple[str, bool], EC2Client] = {}

    def firing(self, call: Call) -> "EC2Client":
        """Return the client for the window: one attempt, connections that `warm` has opened."""
        return self._client(call, fires=True)

    def reading(self, call: Call) -> "EC2Client":
        """Return the client for all that may be repeated: it tries up to three times."""
        return self._client(call, fires=False)

    def _client(self, call: Call, *, fires: bool) -> "EC2Client":
        key = (call.region, fires)
        client = self._made.get(key)
        if client is None:
            with _MAKING:
                client = self._made.get(key) or self._make(call, fires=fires)
                while len(self._made) >= 2 * _REGIONS:
                    del self._made[next(iter(self._made))]
                self._made[key] = client
        return client

    def _make(self, call: Call, *, fires: bool) -> "EC2Client":
        key_id, secret = self._credentials.access_key_id, self._credentials.secret_access_key
        if not call.region:
            raise RegionError(f"{call.action} failed: no region was given; enter one.")
        if bool(key_id) != bool(secret):
            raise CredentialsError(
                f"{call} failed: of the account's keys one is empty; enter both."
            )
        if self._session is None:
            self._session = _session(key_id, secret)
        try:
            client = self._session.client(
                "ec2", region_name=call.region, config=_FIRING if fires else _READING
            )
        except BotoCoreError:
            raise
        except ValueError as error:
            raise translate.no_url(call) from error
        if fires:
            firing.fit(client)
        return client


def _session(key_id: str, secret: str) -> boto3.Session:
    """Return a session of these keys, or of the SDK's default chain when they are empty."""
    beneath = botocore.session.Session()
    beneath.register_component("data_loader", _loader())
    return boto3.Session(
        botocore_session=beneath,
        aws_access_key_id=key_id or None,
        aws_secret_access_key=secret or None,
    )
