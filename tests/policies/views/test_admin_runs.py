"""The admin page of a run costs the same for one target as for many."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from n2wbackup.lib import clock
from policies.models import PhaseResult, Run, RunEvent, RunSnapshot, RunTarget
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.models import User
from tests.policies.views import admin_forms

pytestmark = pytest.mark.django_db


def fill(run: Run, number: int) -> None:
    target = RunTarget.objects.create(run=run, instance_id=f"i-{number:017x}", region="us-east-1")
    for volume in range(2):
        RunSnapshot.objects.create(
            target=target,
            snapshot_id=f"snap-{number}{volume}",
            volume_id=f"vol-{number}{volume}",
            state=RunSnapshot.State.PENDING,
            created_at=clock.now(),
        )
    PhaseResult.objects.create(
        run=run, phase=Phase.AFTER, attempt=number, outcome=Outcome.SUCCEEDED
    )
    RunEvent.objects.create(run=run, at=clock.now(), state=run.state, text=f"event {number}")


def test_many_targets_cost_as_many_queries_as_one(client: Client, boss: User, run: Run) -> None:
    fill(run, 1)
    client.get(admin_forms.url(run))  # what is read once for all pages
    with CaptureQueriesContext(
        connection,
    ) as one:
        assert client.get(admin_forms.url(run)).status_code == 200
    for number in range(2, 8):
        fill(run, number)

    with CaptureQueriesContext(connection) as many:
        page = client.get(admin_forms.url(run)).content.decode()

    assert "snap-71 of vol-71" in page
    assert len(many) == len(one) == 7
