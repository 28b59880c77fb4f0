"""EC2 Instance Connect: a public key for one user of one instance, for a minute.

On a real instance, sshd asks a program of the package ec2-instance-connect, which reads the keys from the instance's
metadata service. Here `active_keys.sh` is that program, and the metadata are files in a folder of the instance.
"""

import re
import time
import uuid
from pathlib import Path

from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.simulator import Simulator

_INSTANCE = re.compile(r"i-[a-f0-9]{8,30}")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9@._-]{0,30}[A-Za-z0-9$_-]?")
_ZONE = re.compile(r"(\w+-){2,3}\d+\w+")
_KEY = re.compile(r"(ssh-ed25519|ssh-rsa) [A-Za-z0-9+/]+={0,2}( [^\n]*)?\n?")
_SHORTEST, _LONGEST = 80, 4096


def send_ssh_public_key(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Let the key in at this instance as this user, for a minute; whether sshd there asks for it is not looked at."""
    instance_id, user = call.text("InstanceId"), call.text("InstanceOSUser")
    key, zone = call.text("SSHPublicKey"), call.text("AvailabilityZone")
    if not _INSTANCE.fullmatch(instance_id):
        raise _invalid("InstanceId")
    if not _USER.fullmatch(user):
        raise _invalid("InstanceOSUser")
    if not _SHORTEST <= len(key) <= _LONGEST or not _KEY.fullmatch(key):
        raise _invalid("SSHPublicKey")
    if zone and not _ZONE.fullmatch(zone):
        raise _invalid("AvailabilityZone")
    try:
        instance = simulator.inventory.instance(call.region, instance_id)
    except ApiError:
        raise _not_found(instance_id) from None
    if zone and zone != instance.availability_zone:
        raise _not_found(instance_id)
    if instance.state != "running":
        raise ApiError(
            "EC2InstanceStateInvalidException",
            f"Instance {instance_id} is not running, so it cannot be connected to.",
        )
    folder = simulator.connect_folders.get(instance_id)
    if folder is not None:
        _let_in(folder, user, key, simulator.options.connect_key_seconds)
    return {"RequestId": str(uuid.uuid4()), "Success": True}


def _let_in(folder: Path, user: str, key: str, seconds: float) -> None:
    """Add a line "until key"; the next key of the user does not end the one before."""
    keys = folder / "active-keys"
    keys.mkdir(mode=0o755, exist_ok=True)
    with (keys / user).open("a") as file:
        file.write(f"{time.time() + seconds:.2f} {' '.join(key.split()[:2])}\n")


def _invalid(name: str) -> ApiError:
    return ApiError("InvalidArgsException", f"The value of {name} is not valid.")


def _not_found(instance_id: str) -> ApiError:
    return ApiError("EC2InstanceNotFoundException", f"Instance {instance_id} was not found.")
