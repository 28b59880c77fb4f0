"""Bare warm boto3: handwritten code in one process, with a client that was already used.

`python -m tests.bench.bare BEFORE AFTER INSTANCE`: it makes a round for each input line, and says how
long its call took.
"""

import json
import subprocess
import sys
import time

import boto3

from tests.bench.request import DESCRIPTION, REGION, TAGS


def main() -> None:
    """Make the client, report that it is ready, and serve."""
    before, after, instance = sys.argv[1:]
    client = boto3.client("ec2", region_name=REGION)
    client.describe_instances(InstanceIds=[instance])
    print("{}", flush=True)
    for _ in sys.stdin:
        subprocess.run([before], check=True)
        asked = time.monotonic()
        client.create_snapshots(
            InstanceSpecification={"InstanceId": instance},
            Description=DESCRIPTION,
            TagSpecifications=[
                {
                    "ResourceType": "snapshot",
                    "Tags": [{"Key": key, "Value": value} for key, value in TAGS.items()],
                }
            ],
        )
        took = time.monotonic() - asked
        with subprocess.Popen([after, "1"]) as thawing:
            thawing.wait()
        print(json.dumps({"call_seconds": took}), flush=True)


if __name__ == "__main__":
    main()
