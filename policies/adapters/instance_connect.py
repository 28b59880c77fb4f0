"""EC2 Instance Connect as the `InstanceConnect` of policies.ports."""

from typing import Any

from botocore.config import Config

from policies.adapters import loading, translate
from policies.adapters.identities import Identity
from policies.adapters.translate import Call
from policies.ports import Credentials

_CONFIG = Config(
    retries={"total_max_attempts": 3, "mode": "standard"},
    connect_timeout=3,
    read_timeout=5,
    max_pool_connections=20,
    tcp_keepalive=True,
    user_agent_extra=loading.USER_AGENT,
)


class AwsInstanceConnect:
    """One account's EC2 Instance Connect; thread-safe, and calls run in parallel."""

    def __init__(self, credentials: Credentials) -> None:
        """Keep the credentials; AWS is not called yet."""
        self._identity = Identity(credentials)
        self._clients: dict[str, Any] = {}  # by region; its stubs are not among the packages

    def hand_over(
        self, region: str, instance_id: str, user: str, public_key: str, zone: str = ""
    ) -> None:
        """Let whoever has the private half log in to the instance as the user, for a minute."""
        call = Call("SendSSHPublicKey", instance_id, region)
        given = {"InstanceId": instance_id, "InstanceOSUser": user, "SSHPublicKey": public_key}
        if zone:
            given["AvailabilityZone"] = zone
        try:
            self._client(region).send_ssh_public_key(**given)
        except translate.RAISED as error:
            raise translate.failure(error, call) from error

    def _client(self, region: str) -> Any:  # noqa: ANN401 - as above
        client = self._clients.get(region)
        if client is None:
            session = self._identity.session(fires=False)  # may ask AWS, so before the lock
            with loading.MAKING:
                client = self._clients.get(region) or session.client(
                    "ec2-instance-connect", region_name=region, config=_CONFIG
                )
                self._clients[region] = client
        return client
