"""A simulated AWS in a process of its own: EC2 and SSM as far as a backup uses them.

moto keeps the instances and volumes; what moto only pretends is made real in front of it. Looking
for something?

- start one, furnish it, break it: `client.py`; its options: `options.py`
- the process and its HTTP: `server.py`; a request's way through it: `gateway.py`
- snapshots: `ec2_snapshots.py` (the API), `snapshots.py` (their states), `copying.py` (their data)
- instances, volumes, regions: `ec2_instances.py`, `inventory.py`; tags: `tagging.py`
- scripts through SSM: `ssm_actions.py` (the API), `ssm_commands.py` (running them)
- keys and permissions: `credentials.py`; rates: `throttles.py`; faults: `faults.py`

It says of AWS: one account for all keys; no clock skew, no session tokens, no IAM documents (a key
has a list of actions). State is lost when the process ends; only copies stay.
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
