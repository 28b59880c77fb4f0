"""A whole instance, made again from what AWS said of it when it was backed up: field by field as it was."""

import json
from typing import Any

from n2wbackup.demo.aws import SimulatedAws
from policies.adapters.clients import Clients
from policies.adapters.making import Ec2Making
from policies.domain.recovery import described
from policies.domain.recovery.described import Change
from policies.ports import Cloud, Credentials
from policies.ports.making import ImageOrder, LaunchOrder
from tests.contract.aws_clients import ec2
from tests.contract.clouds import REGION, SECONDS, wanted
from tests.contract.makings import OURS, until

# What AWS gives to each instance anew; all else must be as it was.
ANEW = {
    *("InstanceId", "ImageId", "ClientToken", "LaunchTime", "PrivateIpAddress", "PrivateDnsName"),
    *("BlockDeviceMappings", "Tags", "AmiLaunchIndex"),
}


def original(aws: SimulatedAws) -> str:
    """Start an instance for which everything was chosen that RunInstances takes."""
    client = ec2(aws)
    client.create_key_pair(KeyName="ops")
    subnet = client.describe_subnets()["Subnets"][1]
    group = client.create_security_group(
        GroupName="db", Description="databases", VpcId=subnet["VpcId"]
    )["GroupId"]
    seed = aws.add_instance(REGION)
    (made,) = client.create_snapshots(InstanceSpecification={"InstanceId": seed.instance_id})[
        "Snapshots"
    ]
    aws.settle_snapshots("completed")
    image = client.register_image(
        Name="seed",
        Architecture="arm64",
        BootMode="uefi",
        EnaSupport=True,
        RootDeviceName="/dev/sda1",
        VirtualizationType="hvm",
        BlockDeviceMappings=[
            {
                "DeviceName": "/dev/sda1",
                "Ebs": {"SnapshotId": made["SnapshotId"], "VolumeType": "gp3"},
            },
            {
                "DeviceName": "/dev/sdf",
                "Ebs": {
                    "SnapshotId": made["SnapshotId"],
                    "VolumeType": "io2",
                    "Iops": 500,
                    "DeleteOnTermination": False,
                },
            },
        ],
    )["ImageId"]
    until(lambda: client.describe_images(ImageIds=[image])["Images"][0]["State"] == "available")
    answer = client.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        InstanceType="m7g.large",
        KeyName="ops",
        SubnetId=subnet["SubnetId"],
        SecurityGroupIds=[group],
        IamInstanceProfile={"Arn": "arn:aws:iam::123456789012:instance-profile/database"},
        EbsOptimized=True,
        Monitoring={"Enabled": True},
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        CpuOptions={"CoreCount": 2, "ThreadsPerCore": 1},
        MaintenanceOptions={"AutoRecovery": "disabled"},
        Placement={"Tenancy": "dedicated"},
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": "Name", "Value": "shop"}, {"Key": "team", "Value": "payments"}],
            }
        ],
    )
    return answer["Instances"][0]["InstanceId"]


def said(cloud: Cloud, instance_id: str) -> dict[str, Any]:
    found = cloud.instances(REGION, [instance_id]).get(instance_id)
    shown: dict[str, Any] = json.loads(json.dumps(found.answer)) if found else {}
    return shown


def test_the_new_instance_equals_the_stored_description_field_by_field(
    aws: SimulatedAws, cloud: Cloud
) -> None:
    instance_id = original(aws)
    until(lambda: said(cloud, instance_id)["State"]["Name"] == "running")
    then = said(cloud, instance_id)
    ids = [row["Ebs"]["VolumeId"] for row in then["BlockDeviceMappings"]]
    volumes = {key: dict(of.answer) for key, of in cloud.volumes(REGION, ids).items()}
    snapshots = {s.volume_id: s.snapshot_id for s in cloud.fire(wanted(instance_id), SECONDS)}
    aws.settle_snapshots("completed")
    making = Ec2Making(Clients(Credentials()))

    made = described.blueprint(then, volumes, snapshots, Change())
    image = making.register(ImageOrder(REGION, "again", OURS, made.image))
    until(lambda: making.image_state(REGION, image) == "available")
    new = making.launch(LaunchOrder(REGION, image, "a-token", made.tags, OURS, made.launch))
    until(lambda: said(cloud, new)["State"]["Name"] == "running")

    now = said(cloud, new)
    assert {key: now.get(key) for key in then if key not in ANEW} == {
        key: of for key, of in then.items() if key not in ANEW
    }
    assert set(now) == set(then)
    assert (
        described.own_tags(now) == described.own_tags(then) == {"Name": "shop", "team": "payments"}
    )
    before = {row["DeviceName"]: row["Ebs"] for row in then["BlockDeviceMappings"]}
    after = {row["DeviceName"]: row["Ebs"] for row in now["BlockDeviceMappings"]}
    assert after.keys() == before.keys()
    new_volumes = cloud.volumes(REGION, [of["VolumeId"] for of in after.values()])
    for device, of in after.items():
        old, fresh = volumes[before[device]["VolumeId"]], new_volumes[of["VolumeId"]].answer
        assert of["DeleteOnTermination"] == before[device]["DeleteOnTermination"]
        for key in ("Size", "VolumeType", "Iops", "Throughput", "AvailabilityZone", "Encrypted"):
            assert fresh.get(key) == old.get(key), (device, key)
    assert not {d.subject for d in described.differences(then, now)} - {"image", "devices"}
