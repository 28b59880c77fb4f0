"""EC2 Instance Connect as the `InstanceConnect` of policies.ports."""

from policies.adapters import translate
from policies.adapters.clients import Clients
from policies.adapters.translate import Call
from policies.ports import Credentials


class AwsInstanceConnect:
    """One account's EC2 Instance Connect; thread-safe, and calls run in parallel."""

    def __init__(self, credentials: Credentials) -> None:
        """Keep the credentials; AWS is not called yet."""
        self._clients = Clients(credentials)

    def hand_over(
        self, region: str, instance_id: str, user: str, public_key: str, zone: str = ""
    ) -> None:
        """Let whoever has the private half log in to the instance as the user, for a minute."""
        call = Call("SendSSHPublicKey", instance_id, region)
        given = {"InstanceId": instance_id, "InstanceOSUser": user, "SSHPublicKey": public_key}
        if zone:
            given["AvailabilityZone"] = zone
        try:
            self._clients.connecting(call).send_ssh_public_key(**given)
        except translate.RAISED as error:
            raise translate.failure(error, call) from error
