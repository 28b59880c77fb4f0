"""Restore points of the ledger from earlier nights, so that one goes by the policy's rules when a new one comes.

Their runs are made up. Their snapshots are not: they exist in the simulated AWS, of a volume that the ledger was on
before, and the server really deletes them.
"""

import boto3
from django.db.models import QuerySet

from n2wbackup.demo import past
from n2wbackup.demo.aws import SimulatedAws
from n2wbackup.demo.aws.options import Options
from n2wbackup.demo.stage import KEPT, Stage
from n2wbackup.lib import clock, home
from policies.adapters.limits import RUN_TAG, SERVER_TAG
from policies.api import as_json
from policies.api.as_json import Json
from policies.models import Removal, Run, RunSnapshot
from policies.services.retention import cleaning


def make_up(aws: SimulatedAws, stage: Stage) -> None:
    """Have as many restore points as the policy keeps, one of each of the last nights."""
    aws.configure(per_volume_interval_seconds=0.0)
    volume = aws.add_volume()
    client = boto3.client(
        "ec2",
        region_name=stage.policy.account.region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=aws.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws.environment["AWS_SECRET_ACCESS_KEY"],
    )
    rows = []
    for run in past.good_nights(stage.policy, KEPT, clock.now()):
        tags = {SERVER_TAG: home.server_id(), RUN_TAG: str(run.pk)}
        made = client.create_snapshot(
            VolumeId=volume,
            TagSpecifications=[
                {
                    "ResourceType": "snapshot",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
        )
        rows.append(_row(run, made["SnapshotId"], volume))
    RunSnapshot.objects.bulk_create(rows)
    client.delete_volume(VolumeId=volume)
    aws.configure(per_volume_interval_seconds=Options().per_volume_interval_seconds)


def _row(run: Run, snapshot_id: str, volume: str) -> RunSnapshot:
    return RunSnapshot(
        target=run.targets.get(),
        snapshot_id=snapshot_id,
        volume_id=volume,
        state=RunSnapshot.State.COMPLETED,
        progress=100,
        created_at=run.fired_at or run.created_at,
    )


def let_go(stage: Stage) -> list[Json]:
    """Delete the restore points that the rules of the policy let go; return each with the reason."""
    before = list(_gone(stage).values_list("run", flat=True))
    cleaning.prune(stage.policy, by="demo")
    return [_shown(each) for each in _gone(stage).exclude(run__in=before)]


def _gone(stage: Stage) -> QuerySet[Removal]:
    ended = Removal.objects.filter(run__policy=stage.policy, ended_at__isnull=False)
    return ended.select_related("run").order_by("ended_at")


def _shown(gone: Removal) -> Json:
    of_run = RunSnapshot.objects.filter(target__run=gone.run, state=RunSnapshot.State.DELETED)
    return {
        "run": str(gone.run_id),
        "made_at": as_json.moment(gone.run.created_at),
        "why": gone.why,
        "snapshots": list(of_run.values_list("snapshot_id", flat=True)),
    }
