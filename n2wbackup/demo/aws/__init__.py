"""A simulated AWS in its own process: the parts of EC2, SSM and STS that a backup uses.

moto keeps the instances and volumes; this package does for real what moto only pretends to do. Where
to find things:

- start a simulated AWS, add resources and faults: `client.py`; its options: `options.py`
- the process and its HTTP: `server.py`; the path of a request through it: `gateway.py`
- snapshots: `ec2_snapshots.py` (the API), `snapshots.py` (their states), `copying.py` (their data),
  `ebs.py` (their blocks), `disks.py` (blocks for a folder)
- what deletes snapshots and what keeps them from it (locks, the Recycle Bin): `ec2_removing.py`
- instances, volumes, regions: `ec2_instances.py`, `inventory.py`; tags: `tagging.py`
- scripts through SSM: `ssm_actions.py` (the API), `ssm_commands.py` (commands and their delivery),
  `ssm_agents.py` (running them), `ssm_outputs.py`, `ssm_places.py` (S3, CloudWatch Logs, IAM beside it)
- logins by EC2 Instance Connect: `instance_connect.py`, `active_keys.sh`
- keys and permissions: `credentials.py`; rates: `throttles.py`; faults: `faults.py`

Simplifications: all keys belong to one account; there is no clock skew, there are no session tokens except
those of assumed roles, and no IAM documents (a key has a list of actions). State is lost when the process
ends; only copies stay.
"""

from n2wbackup.demo.aws.client import SimulatedAws, SimulatorError
from n2wbackup.demo.aws.records import Call, SimulatedInstance, SimulatedSnapshot, VolumeSpec

__all__ = [
    "Call",
    "SimulatedAws",
    "SimulatedInstance",
    "SimulatedSnapshot",
    "SimulatorError",
    "VolumeSpec",
]
