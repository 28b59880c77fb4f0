"""Copies and the rebuilding of a lost server, whole: services, EC2's adapters and the simulated AWS."""

import time
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from pytest_django import Settings

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from n2wbackup.lib import clock, home
from policies.adapters import limits
from policies.adapters.clients import Clients
from policies.adapters.ec2 import Ec2Cloud
from policies.domain.recovery.states import Kind
from policies.domain.runs.verdict import Consistency
from policies.models import Account, Copy, CopyRule, Policy, Recovery, Run, RunSnapshot, RunTarget
from policies.ports import Credentials, FireRequest
from policies.selectors import copies as copies_selector
from policies.services.copies import keeping, repeating, ticking
from policies.services.entry import copy_rules
from policies.services.proof import asking as proving
from policies.services.proof import working as proving_works
from policies.services.proof.asking import Wish
from policies.services.recovery import asking as recovering
from policies.services.recovery import working
from policies.services.recovery.planning import Choices
from tests.contract.aws_clients import ec2
from tests.factories import AccountFactory, PolicyFactory, alice
from tests.policies.services.retention.rows import point

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
HERE, THERE = "us-east-1", "eu-central-1"
OTHER, KEY, SECRET = "210987654321", "AKIAOTHERACCOUNT0001", "a-secret"
LOST = "5f0f7f0c-6a8e-4a52-9b43-1d2f4f1c9a01"
SOURCE_KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"


@pytest.fixture
def policy(aws: SimulatedAws, settings: Settings) -> Policy:
    """Alice's policy, and her second account in another AWS account; what goes is not announced before."""
    settings.N2W_DELETE_AFTER_HOURS = 0
    aws.configure(copy_seconds=0, pending_seconds=0)
    aws.add_account("AKIAOWNACCOUNT000001", "b-secret")
    aws.add_account(KEY, SECRET, number=OTHER)
    own = AccountFactory.create(
        owner=alice(), access_key_id="AKIAOWNACCOUNT000001", secret_access_key="b-secret"
    )
    AccountFactory.create(
        owner=alice(), name="vault", access_key_id=KEY, secret_access_key=SECRET, region=THERE
    )
    return PolicyFactory.create(owner=alice(), name="policy1", account=own)


def backed_up(aws: SimulatedAws, policy: Policy, server: str = "") -> Run:
    """Make a restore point of an encrypted volume, as the window does."""
    spec = VolumeSpec(encrypted=True, kms_key=SOURCE_KEY)
    known = RunTarget.objects.filter(run__policy=policy).first()
    instance_id = known.instance_id if known else aws.add_instance(HERE, [spec]).instance_id
    run = uuid4()
    tags = {
        "Name": f"alice/policy1 {instance_id}",
        limits.SERVER_TAG: server or home.server_id(),
        limits.RUN_TAG: str(run),
        "n2wbackup:policy": "policy1",
        "n2wbackup:owner": "alice",
        "n2wbackup:consistency": "application",
    }
    request = FireRequest(HERE, tags, "x", instance_id=instance_id)
    (snapshot,) = Ec2Cloud(Clients(Credentials())).fire(request, 10)
    row = point(policy, clock.now(), Consistency.APPLICATION, instance_id, pk=run)
    RunSnapshot.objects.filter(target__run=row).update(
        snapshot_id=snapshot.snapshot_id, volume_id=snapshot.volume_id
    )
    RunTarget.objects.filter(run=row).update(expected_volume_ids=[snapshot.volume_id])
    return row


def copied(run: Run) -> None:
    for _ in range(40):
        ticking.tick(0)
        if {copy.state for copy in run.copies.all()} == {"completed"}:
            return
        time.sleep(0.05)
    pytest.fail(f"{[(copy.state, copy.message) for copy in run.copies.all()]}")


def test_an_encrypted_snapshot_is_copied_into_another_account_and_retained_there(
    aws: SimulatedAws, policy: Policy
) -> None:
    vault = Account.objects.get(name="vault")
    copy_rules.replace(
        policy,
        [
            CopyRule(
                region=THERE,
                account=vault,
                kms_key="alias/backups",
                completion_minutes=15,
                keep_last=1,
            )
        ],
    )
    first = backed_up(aws, policy)
    copied(first)
    second = backed_up(aws, policy)
    copied(second)

    made = {each.snapshot_id: each for each in aws.snapshots(THERE)}
    (usable,) = copies_selector.usable(second)
    found = made[usable.snapshot_id]
    assert (found.owner, found.kms_key_id, found.encrypted) == (OTHER, "alias/backups", True)
    assert found.completion_minutes == 15
    assert all(not each.shared_with for each in aws.snapshots(HERE))
    keeping.tick()
    assert [each.snapshot_id for each in aws.snapshots(THERE)] == [usable.snapshot_id]
    assert [each.state for each in aws.snapshots(HERE)] == ["completed", "completed"]


def test_a_key_that_is_denied_fails_the_copy_with_awss_words(
    aws: SimulatedAws, policy: Policy
) -> None:
    aws.configure(keys_denied=["alias/backups"])
    copy_rules.replace(policy, [CopyRule(region=THERE, kms_key="alias/backups")])
    run = backed_up(aws, policy)
    for _ in range(3):
        ticking.tick(0)
    (copy,) = run.copies.all()
    assert copy.state == "failed"
    assert "Given key ID is not accessible" in copy.message
    keeping.tick()
    assert aws.snapshots(THERE) == []


def _worked(run: Run) -> Copy:
    """Let the turns work until the copy ends; return it."""
    for _ in range(40):
        ticking.tick(0)
        ended = run.copies.filter(state__in=["completed", "failed"]).first()
        if ended is not None:
            return ended
        time.sleep(0.05)
    pytest.fail(f"{list(run.copies.values_list('state', 'message'))}")


KEY_THERE = f"arn:aws:kms:{THERE}:123456789012:key/66666666-7777-8888-9999-000000000000"
KEY_ELSEWHERE = KEY_THERE.replace(THERE, "eu-west-3")


@pytest.mark.parametrize(
    ("key", "denied"),
    [
        ("alias/backups", "alias/backups"),  # there is none, or it is disabled
        (KEY_THERE, KEY_THERE),
        (KEY_THERE, SOURCE_KEY),  # the copy's own key is right, its source cannot be read
        (KEY_ELSEWHERE, ""),
    ],
)
def test_a_wrong_key_fails_the_copy_once_with_a_sentence_and_a_right_one_mends_it(
    aws: SimulatedAws, policy: Policy, key: str, denied: str
) -> None:
    aws.configure(keys_denied=[denied] if denied else [])
    copy_rules.replace(policy, [CopyRule(region=THERE, kms_key=KEY_THERE)])
    CopyRule.objects.update(kms_key=key)  # as an older version let it in
    run = backed_up(aws, policy)
    copy = _worked(run)

    assert copy.state == "failed"
    assert "Given key ID is not accessible" in copy.message
    assert "Allow the account to use the key" in copy.message
    assert run.events.filter(text__contains="failed: AWS says").count() == 1
    assert [call.outcome for call in aws.calls("CopySnapshot")] == ["ok"]
    keeping.tick()
    assert aws.snapshots(THERE) == []
    assert [each.state for each in aws.snapshots(HERE)] == ["completed"]
    run.refresh_from_db()
    assert run.restore_point

    aws.configure(keys_denied=[])
    Copy.objects.update(kms_key=KEY_THERE)
    repeating.again(run)
    again = _worked(run)
    assert (again.pk, again.state) == (copy.pk, "completed")
    (made,) = aws.snapshots(THERE)
    assert (made.snapshot_id, made.kms_key_id) == (again.snapshot_id, KEY_THERE)
    answer = ec2(aws, THERE).describe_snapshots(SnapshotIds=[made.snapshot_id])["Snapshots"][0]
    assert (answer["Encrypted"], answer["KmsKeyId"]) == (True, KEY_THERE)


def test_a_key_of_another_region_is_refused_when_it_is_entered(policy: Policy) -> None:
    with pytest.raises(ValidationError, match="The key is in eu-west-3, but the copies are to be"):
        copy_rules.replace(policy, [CopyRule(region=THERE, kms_key=KEY_ELSEWHERE)])
    assert not CopyRule.objects.exists()


@pytest.mark.parametrize("key", ["", "alias/backups"])
def test_an_encrypted_snapshot_stays_encrypted(aws: SimulatedAws, policy: Policy, key: str) -> None:
    copy_rules.replace(policy, [CopyRule(region=THERE, kms_key=key)])
    assert _worked(backed_up(aws, policy)).state == "completed"
    (made,) = aws.snapshots(THERE)
    assert made.encrypted
    assert made.kms_key_id == (key or "arn:aws:kms:eu-central-1:123456789012:alias/aws/ebs")


def test_a_server_is_rebuilt_from_its_tags_alone(
    aws: SimulatedAws, policy: Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_rules.replace(policy, [CopyRule(region=THERE, account=Account.objects.get(name="vault"))])
    run = backed_up(aws, policy)
    copied(run)
    for each in aws.snapshots():
        where = Ec2Cloud(
            Clients(Credentials(KEY, SECRET) if each.owner == OTHER else Credentials())
        )
        where.tag(each.region, [each.snapshot_id], {limits.SERVER_TAG: LOST})
    Run.objects.all().delete()
    words = ["rebuild_from_aws", "--region", HERE, "--region", THERE]

    call_command(*words)
    out = capsys.readouterr().out
    assert f"server {LOST}: alice/policy1: 1 restore point, 1 copy" in out
    call_command(*words, "--adopt", "--claim", LOST)
    assert "1 adopted." in capsys.readouterr().out

    adopted = Run.objects.get()
    assert (adopted.pk, adopted.restore_point, adopted.policy) == (run.pk, True, policy)
    assert [one.account.name for one in copies_selector.usable(adopted)] == ["vault"]
    assert Copy.objects.count() == 1
    tags = [each.tags[limits.SERVER_TAG] for each in aws.snapshots()]
    assert tags == [home.server_id()] * 2
    call_command(*words)
    assert "No snapshot of another server" in capsys.readouterr().out


def worked(recovery: Recovery) -> Recovery:
    for _ in range(60):
        working.execute(recovery.pk)
        recovery.refresh_from_db()
        if recovery.ended_at or recovery.state == "initializing":
            return recovery
        Recovery.objects.filter(pk=recovery.pk).update(next_at=clock.now())
    pytest.fail(f"{recovery.state}: {recovery.waiting_for}")


def test_what_is_lost_comes_back_from_its_copy_in_another_region_and_account(
    aws: SimulatedAws, policy: Policy
) -> None:
    vault = Account.objects.get(name="vault")
    copy_rules.replace(policy, [CopyRule(region=THERE, account=vault, kms_key="alias/backups")])
    run = backed_up(aws, policy)
    copied(run)
    (usable,) = copies_selector.usable(run)
    for each in aws.snapshots(HERE):
        ec2(aws).delete_snapshot(SnapshotId=each.snapshot_id)

    recovery = worked(recovering.ask(run, Choices(Kind.VOLUME), by="alice"))

    assert recovery.state in {"initializing", "done"}, recovery.reason
    assert (recovery.account, recovery.region, recovery.source) == (vault, THERE, f"vault/{THERE}")
    (made,) = recovery.resources.all()
    assert made.from_snapshot == usable.snapshot_id
    volumes = Ec2Cloud(Clients(Credentials(KEY, SECRET))).volumes(THERE, [made.resource_id])
    assert volumes[made.resource_id].answer["SnapshotId"] == usable.snapshot_id
    tags = {tag["Key"]: tag["Value"] for tag in volumes[made.resource_id].answer["Tags"]}
    assert tags["n2wbackup:recovery"] == str(recovery.pk)

    proof = proving.ask(run, Wish(level=0, source=f"vault/{THERE}"), by="alice")
    proving_works.execute(proof.pk)
    proof.refresh_from_db()
    assert (proof.state, proof.snapshot_id) == ("passed", usable.snapshot_id), proof.reason
    told = {each.snapshot_id: each.tags for each in aws.snapshots(THERE)}
    assert told[usable.snapshot_id]["n2wbackup:proof"].startswith("passed level 0")
