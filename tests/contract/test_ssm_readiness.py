"""A worker looks whether SSM reaches an account's instances; the page shows what it saw, and asks AWS nothing."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from django.test import Client

from n2wbackup.demo.aws import SimulatedAws, SimulatedInstance
from n2wbackup.lib import clock
from policies.domain.agents import CORE
from policies.models import Account, Policy, PolicyTarget, SsmInstance, SsmPlace
from policies.services.coverage import agents
from scripts_admin.folders import storage
from scripts_admin.models import AuditEntry, User
from scripts_admin.runners import ssm
from tests import factories
from tests.contract.clouds import REGION
from tests.policies.views.logins import confirm

EVIL = '"><svg onload=alert(1)>'
pytestmark = pytest.mark.django_db


@pytest.fixture
def policy() -> Policy:
    made: Policy = factories.PolicyFactory.create()
    Account.objects.filter(pk=made.account.pk).update(
        auth="instance", access_key_id="", region=REGION
    )
    made.account.refresh_from_db()
    owner = made.account.owner
    owner.is_superuser = True  # may use the server's own role
    owner.save()
    return made


@pytest.fixture
def instance(aws: SimulatedAws, policy: Policy, tmp_path: Path) -> SimulatedInstance:
    made = aws.add_instance(REGION, folder=tmp_path, name=EVIL)
    aws.set_role(made.instance_id, "app", [CORE], region=REGION)
    PolicyTarget.objects.create(policy=policy, instance_id=made.instance_id, region=REGION)
    return made


def address(account: Account) -> str:
    return f"/accounts/{account.owner.username}/{account.name}/ssm/"


def client_of(person: User) -> Client:
    client = Client()
    client.force_login(person)
    confirm(client)
    return client


def test_nothing_is_looked_at_until_somebody_asks(
    aws: SimulatedAws, policy: Policy, instance: SimulatedInstance
) -> None:
    page = client_of(policy.account.owner).get(address(policy.account))
    assert "Nobody has looked yet" in page.content.decode()
    assert agents.tick() == 0
    assert aws.calls("DescribeInstanceInformation") == []


def test_a_look_that_was_asked_for_shows_agents_roles_and_where_agents_keep_their_files(
    aws: SimulatedAws, policy: Policy, instance: SimulatedInstance, tmp_path: Path
) -> None:
    bare = aws.add_instance(REGION)
    other = aws.add_instance(REGION, folder=tmp_path)  # of no policy: no command is run there
    client = client_of(policy.account.owner)
    assert client.post(address(policy.account)).status_code == 302
    assert aws.calls() == []
    assert "is being looked at" in client.get(address(policy.account)).content.decode()
    assert agents.tick() == 1
    aws.forget_calls()

    text = client.get(address(policy.account)).content.decode()

    assert aws.calls() == []
    assert 'hx-trigger="every 2s"' not in text
    for wanted in (
        "ready",
        "3.3.1611.0",
        "Amazon Linux 2023",
        "app",
        "It has no role.",
        bare.instance_id,
    ):
        assert wanted in text
    assert EVIL not in text
    assert "&lt;svg onload" in text
    row = SsmInstance.objects.get(instance_id=instance.instance_id)
    assert row.folders
    assert "never freeze that over SSM" in text
    assert not SsmInstance.objects.get(instance_id=other.instance_id).folders
    assert AuditEntry.objects.filter(action="asked").count() == 1


def test_the_hourly_look_runs_no_command_and_keeps_what_the_last_one_saw(
    aws: SimulatedAws, policy: Policy, instance: SimulatedInstance
) -> None:
    agents.look(policy.account)
    agents.tick()
    folders = SsmInstance.objects.get(instance_id=instance.instance_id).folders
    place = SsmPlace.objects.get()
    assert not place.is_asked
    assert place.seen_at is not None
    assert place.next_at - place.seen_at == agents.EVERY
    aws.forget_calls()
    aws.set_agent(instance.instance_id, "lost")
    agents.refresh(place)
    assert aws.calls("SendCommand") == []
    row = SsmInstance.objects.get(instance_id=instance.instance_id)
    assert (row.ping, row.folders) == ("ConnectionLost", folders)


def test_a_script_that_would_freeze_the_agents_own_files_is_told(
    aws: SimulatedAws, policy: Policy, instance: SimulatedInstance
) -> None:
    folder = storage.create(policy.folder)
    base = f"before_{policy.name}@"
    (folder / f"{base}all.sh").write_text("#!/bin/sh\nfsfreeze -f /data\n")
    agents.look(policy.account)
    agents.tick()
    client = client_of(policy.account.owner)
    assert (
        "where its agent keeps its files"
        not in client.get(address(policy.account)).content.decode()
    )
    row = SsmInstance.objects.get(instance_id=instance.instance_id)
    assert row.freezes == [[f"{base}all.sh", "/data"]]
    mount = row.folders[0][1]
    own = f"{base}{instance.instance_id}.sh"
    (folder / own).write_text(f"#!/bin/sh\nsudo fsfreeze --freeze {mount}\n")
    agents.look(policy.account)
    agents.tick()
    text = client.get(address(policy.account)).content.decode()
    assert f"{own} freezes {mount}, where its agent keeps its files." in text
    assert "not ready" in text


def test_what_aws_refuses_is_told_and_changes_nothing(
    aws: SimulatedAws, policy: Policy, instance: SimulatedInstance
) -> None:
    agents.look(policy.account)
    agents.tick()
    agents.look(policy.account)
    aws.fault("DescribeInstanceInformation", "denied")
    agents.tick()
    place = SsmPlace.objects.get()
    assert "ssm:DescribeInstanceInformation" in place.problem
    assert SsmInstance.objects.count() == 1
    assert place.problem in client_of(policy.account.owner).get(
        address(policy.account)
    ).content.decode().replace("&#x27;", "'").replace("&quot;", '"')
    agents.look(policy.account)
    aws.fault("GetInstanceProfile", "denied", times=None)
    aws.fault("SendCommand", "denied")
    agents.tick()
    place.refresh_from_db()
    assert place.problem == ""
    assert "ssm:SendCommand" in place.probe_problem
    assert "iam:GetInstanceProfile" in SsmInstance.objects.get().role_problem


def test_an_instance_that_is_gone_is_shown_no_more(
    aws: SimulatedAws, policy: Policy, instance: SimulatedInstance
) -> None:
    agents.look(policy.account)
    agents.tick()
    place = SsmPlace.objects.get()
    SsmInstance.objects.create(place=place, instance_id="i-gone")
    agents.refresh(place)
    assert [row.instance_id for row in SsmInstance.objects.all()] == [instance.instance_id]


def test_a_region_that_is_used_no_more_is_forgotten(
    aws: SimulatedAws, policy: Policy, instance: SimulatedInstance
) -> None:
    SsmPlace.objects.create(account=policy.account, region="eu-west-3", next_at=clock.now())
    agents.tick()
    assert SsmPlace.objects.count() == 0
    assert aws.calls() == []


def test_a_look_that_somebody_asked_for_meanwhile_is_done_again(
    aws: SimulatedAws, policy: Policy, instance: SimulatedInstance
) -> None:
    agents.look(policy.account)
    agents.tick()
    SsmPlace.objects.update(next_at=clock.now())  # an hour later
    place = agents._claim()
    assert place is not None
    agents.look(policy.account)
    assert not agents.refresh(place)
    assert agents.tick() == 1


def test_whoever_asks_again_and_again_keeps_one_worker_busy(
    aws: SimulatedAws, policy: Policy, instance: SimulatedInstance
) -> None:
    agents.look(policy.account)
    place = agents._claim()
    assert place is not None
    for _ in range(3):
        agents.look(policy.account)
        assert agents._claim() is None
    assert agents.refresh(place)
    assert len(aws.calls("SendCommand")) == 1


def test_a_look_that_breaks_is_told_and_is_not_made_again_and_again(
    aws: SimulatedAws,
    policy: Policy,
    instance: SimulatedInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("what nobody has foreseen")

    agents.look(policy.account)
    monkeypatch.setattr(agents, "_roles", broken)

    agents.tick()

    place = SsmPlace.objects.get()
    assert (place.is_asked, place.failures) == (False, 1)
    assert "ZeroDivisionError" in place.problem
    assert "nobody has foreseen" not in place.problem
    assert place.next_at > clock.now() + agents.CLAIM


def test_instances_that_never_answer_hold_a_look_up_together_and_not_one_after_another(
    aws: SimulatedAws,
    policy: Policy,
    instance: SimulatedInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clock stands still but for the pauses, so it counts them."""
    spent = [0.0]
    monkeypatch.setattr(ssm, "AT_ONCE", 1)

    def sleep(seconds: float) -> None:
        spent[0] += seconds

    clocks = SimpleNamespace(monotonic=lambda: spent[0], sleep=sleep)
    monkeypatch.setattr(agents, "time", clocks)
    monkeypatch.setattr(agents, "PROBE_SECONDS", 2.0)
    monkeypatch.setattr(ssm, "ENDED", frozenset())
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
        made = aws.add_instance(REGION, folder=tmp_path / name, name=name)
        aws.set_role(made.instance_id, "app", [CORE], region=REGION)
        PolicyTarget.objects.create(policy=policy, instance_id=made.instance_id, region=REGION)
    agents.look(policy.account)
    assert agents.tick() == 1
    assert len(aws.calls("SendCommand")) > 1
    assert spent[0] <= agents.PROBE_SECONDS
