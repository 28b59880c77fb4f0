"""AWS against the rows: a snapshot of ours without a row is adopted or listed; others are left alone."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from n2wbackup.lib import home
from policies.domain.errors import RejectedError
from policies.models import Run, RunSnapshot
from policies.ports import FireRequest, Snapshot
from policies.services.following import reconciling
from policies.services.following.reconciling import FindingKind
from tests import factories
from tests.policies.services.backup import Backup, story

REGION = "us-east-1"


def fire(backup: Backup, *, server: str = "", run: str = "") -> list[str]:
    """Create snapshots of the policy's instance that have no row."""
    tags = {
        "n2wbackup:server": server or home.server_id(),
        **({"n2wbackup:run": run} if run else {}),
    }
    request = FireRequest(REGION, tags, "stray", instance_id=backup.instance.instance_id)
    made = backup.cloud.fire(request, 5.0)
    backup.cloud.advance()
    return [snapshot.snapshot_id for snapshot in made]


def found(kind: FindingKind) -> list[str]:
    return [one.snapshot_id for one in reconciling.reconcile().findings if one.kind == kind]


def test_what_the_rows_know_is_not_told(backup: Backup) -> None:
    backup.to_end()

    report = reconciling.reconcile()

    assert (report.seen, report.findings, report.problems) == (2, [], [])


def test_what_an_ended_run_made_without_knowing_is_entered_into_it_once(backup: Backup) -> None:
    run = backup.to_end()
    RunSnapshot.objects.all().delete()

    report = reconciling.reconcile()

    assert {one.kind for one in report.findings} == {FindingKind.ADOPTED}
    assert RunSnapshot.objects.filter(target__run=run, state="completed").count() == 2
    run.refresh_from_db()
    assert run.tags_due
    assert "was found in AWS and entered" in story(run)[-1]
    assert reconciling.reconcile().findings == []


def test_what_somebody_else_enters_meanwhile_is_no_trouble(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.to_end()
    RunSnapshot.objects.all().delete()
    look = reconciling._run

    def look_late(snapshot: Snapshot) -> Run | None:
        with monkeypatch.context() as patch:
            patch.setattr(reconciling, "_run", look)
            reconciling.reconcile()
        return look(snapshot)

    monkeypatch.setattr(reconciling, "_run", look_late)

    assert reconciling.reconcile().findings == []
    assert RunSnapshot.objects.count() == 2


def test_an_adopted_set_is_worth_no_more_than_a_crash_and_the_run_stays_as_it_ended(
    backup: Backup,
) -> None:
    backup.cloud.fail_next("fire", RejectedError("AWS is out of order."))
    run = backup.to_end()
    assert run.state == "failed"
    fire(backup, run=str(run.pk))

    assert len(found(FindingKind.ADOPTED)) == 2

    run.refresh_from_db()
    assert (run.state, run.consistency) == ("failed", "none")
    assert run.targets.get().consistency == "crash"


def test_a_run_that_is_under_way_is_left_to_the_polls(backup: Backup) -> None:
    run = backup.window()
    RunSnapshot.objects.all().delete()

    assert reconciling.reconcile().findings == []
    assert not RunSnapshot.objects.filter(target__run=run).exists()


@pytest.mark.parametrize("run", ["", "no uuid", "6c84fb90-12c4-11e1-840d-7b25c5ee775a"])
def test_what_bears_no_known_run_is_listed_and_not_touched(backup: Backup, run: str) -> None:
    made = fire(backup, run=run)
    before = [backup.cloud.describe(REGION, made)]

    assert found(FindingKind.STRAY) == made

    assert not RunSnapshot.objects.exists()
    assert [backup.cloud.describe(REGION, made)] == before


def test_what_bears_another_server_s_tag_is_not_even_seen(backup: Backup) -> None:
    run = backup.to_end()
    fire(backup, server="another", run=str(run.pk))

    report = reconciling.reconcile()

    assert (report.seen, report.findings) == (2, [])


def test_a_volume_that_the_run_did_not_back_up_is_listed(backup: Backup) -> None:
    run = backup.to_end()
    volume = backup.cloud.add_volume().volume_id
    tags = {"n2wbackup:server": home.server_id(), "n2wbackup:run": str(run.pk)}
    (made,) = backup.cloud.fire(FireRequest(REGION, tags, "", volume_id=volume), 5.0)

    assert found(FindingKind.STRAY) == [made.snapshot_id]


def test_a_run_adopts_nothing_from_another_s_account(backup: Backup) -> None:
    # The owner of an AWS account can give anything in it anybody's tags.
    run = backup.to_end()
    RunSnapshot.objects.all().delete()
    Run.objects.update(account=factories.AccountFactory.create(owner=factories.charlie()))
    run.refresh_from_db()
    assert run.account is not None
    run.account.region = "eu-west-1"
    run.account.save()
    run.targets.update(region="eu-west-1")

    assert len(found(FindingKind.STRAY)) == 2
    assert not RunSnapshot.objects.exists()


def test_two_ways_into_one_aws_account_are_one(backup: Backup) -> None:
    run = backup.to_end()
    other = factories.AccountFactory.create(owner=factories.charlie(), name="the same")
    account = backup.policy.account
    account.refresh_from_db()
    type(other).objects.update(aws_account_id=account.aws_account_id)
    RunSnapshot.objects.all().delete()

    assert {one.kind for one in reconciling.reconcile().findings} == {FindingKind.ADOPTED}
    assert RunSnapshot.objects.filter(target__run=run).count() == 2


def test_what_is_gone_is_listed_once_and_its_row_says_so(backup: Backup) -> None:
    run = backup.to_end()
    row = RunSnapshot.objects.first()
    assert row is not None
    backup.cloud.delete_snapshot(row.snapshot_id)

    assert found(FindingKind.GONE) == [row.snapshot_id]
    row.refresh_from_db()
    assert row.state == "gone"
    assert story(run)[-1] == f"no longer in AWS: {row.snapshot_id} of {row.volume_id}"
    assert found(FindingKind.GONE) == []


def test_what_only_lost_its_tags_is_not_gone(backup: Backup) -> None:
    run = backup.to_end()
    Run.objects.update(server="another-server")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup.cloud, "of_server", lambda *_: [])
        reconciling.reconcile()

    assert {row.state for row in RunSnapshot.objects.filter(target__run=run)} == {"completed"}


def test_an_account_that_cannot_be_asked_keeps_no_other_from_it(backup: Backup) -> None:
    factories.AccountFactory.create(owner=factories.charlie(), region="eu-west-1")
    made = fire(backup)
    backup.cloud.fail_next("of_server", RejectedError("AWS is out of order."))

    out, err = StringIO(), pytest.raises(CommandError, match="alice/lab in us-east-1: AWS is out")
    with err:
        call_command("reconcile", "--json", stdout=out)

    assert json.loads(out.getvalue())["findings"] == []
    assert found(FindingKind.STRAY) == made


def test_the_command_lists_what_it_found(backup: Backup) -> None:
    (first, _) = fire(backup)
    out = StringIO()

    call_command("reconcile", stdout=out)

    assert f"stray    {first} in us-east-1, alice/lab: its tags name no run" in out.getvalue()
