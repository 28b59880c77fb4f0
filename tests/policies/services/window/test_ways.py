"""How a run comes to an instance over SSH: what is there, what is missing, and what a changed key leads to."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from n2wbackup.lib import clock, encrypted
from policies.adapters import session
from policies.domain.alarms.messages import AlarmKind
from policies.domain.runs.sequence import State
from policies.models import Alarm, Policy, Run
from policies.ports import Credentials, Instance
from policies.services.window import hosts, scripts, ways
from policies.services.window.ways import NoWayError
from scripts_admin.domain.remote import Remote
from scripts_admin.hosts import asking, keypairs
from scripts_admin.hosts.asking import Answer, NotAskedError
from scripts_admin.models import Folder, HostState, SshHost
from scripts_admin.runners import refusals
from scripts_admin.runners.addresses import Connect, Way
from scripts_admin.services import keys
from tests import factories
from tests.policies.services.backup import Backup

pytestmark = pytest.mark.django_db
OLD, NEW = keypairs.make().public, keypairs.make().public
SSH = Remote("ssh", "ec2-user").filled()
STORED = Remote("ssh", "ec2-user", "stored", sudo=True).filled()
ID, BASTION_ID = "i-0123456789abcdef0", "i-0bbbbbbbbbbbbbbbb"


def instance(**answer: object) -> Instance:
    said: Mapping[str, Any] = {
        "PrivateIpAddress": "10.0.0.5",
        "Placement": {"AvailabilityZone": "us-east-1a"},
        **answer,
    }
    return Instance(ID, "us-east-1", "123456789012", "running", "vol-1", ("vol-1",), said)


@pytest.fixture
def policy() -> Policy:
    made: Policy = factories.PolicyFactory.create()
    return made


@pytest.fixture
def folder(policy: Policy) -> Folder:
    return policy.folder


def host(folder: Folder, name: str = "10.0.0.5", port: int = 22, **more: object) -> SshHost:
    known = {"state": HostState.APPROVED, "key": str(OLD), **more}
    return SshHost.objects.create(
        folder=folder, name=name, port=port, added_at=clock.now(), **known
    )


def way(policy: Policy, remote: Remote, of: Instance | None = None) -> Way:
    assert policy.account is not None
    return ways.way(policy.folder, policy.account, remote, of or instance())


def test_the_private_address_is_the_host_and_its_approved_key_is_pinned(
    policy: Policy, folder: Folder
) -> None:
    host(folder)
    key = keys.make(folder, by=None)

    found = way(policy, STORED)

    assert (found.address.host, found.address.at, found.address.port) == (
        "10.0.0.5",
        "10.0.0.5",
        22,
    )
    assert found.address.host_keys == (str(OLD),)
    assert found.address.sudo
    assert found.stored == (key.private,)
    assert found.connects == ()
    assert found.credentials == ""


def test_instance_connect_needs_no_stored_key_and_takes_the_accounts_credentials(
    policy: Policy, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    host(folder)
    handed: list[object] = []

    class Aws:
        def hand_over(self, *given: object) -> None:
            handed.append(given)

    def connect(credentials: Credentials) -> Aws:
        handed.append(credentials)
        return Aws()

    monkeypatch.setattr(session, "instance_connect", connect)
    found = way(policy, SSH)
    assert found.stored == ()

    later = Way.from_spool(json.loads(json.dumps(found.to_spool(encrypted.seal))), encrypted.unseal)
    key = later.key(ways.hand(later))

    assert policy.account is not None
    secret = policy.account.secret_access_key or ""
    assert handed[0] == Credentials(policy.account.access_key_id, secret)
    public = str(keypairs.read(key.privates[0]).public)
    assert handed[1] == ("us-east-1", ID, "ec2-user", public, "us-east-1a")
    assert secret not in json.dumps(found.to_spool(encrypted.seal))


@pytest.mark.parametrize(
    ("remote", "answer", "words"),
    [
        (STORED, {}, "No key logs in to"),
        (SSH, {"PrivateIpAddress": ""}, "no private address"),
        (Remote("ssh", "ec2-user", host="127.0.0.1").filled(), {}, "scripts must not need"),
    ],
)
def test_what_is_missing_is_said(
    policy: Policy, folder: Folder, remote: Remote, answer: dict[str, str], words: str
) -> None:
    host(folder)
    host(folder, "127.0.0.1")

    with pytest.raises(NoWayError, match=words):
        way(policy, remote, instance(**answer))


def test_a_host_that_nobody_approved_is_put_on_the_page_and_not_connected_to(
    policy: Policy, folder: Folder
) -> None:
    with pytest.raises(NoWayError, match=r"Nobody has approved the host key of 10\.0\.0\.5"):
        way(policy, SSH)

    row = SshHost.objects.get(folder=folder)
    assert (row.name, row.instance_id, row.key) == ("10.0.0.5", ID, "")
    assert row.is_asked

    with pytest.raises(NoWayError, match="stands on the page Hosts"):
        way(policy, SSH)
    assert SshHost.objects.filter(folder=folder).count() == 1


def test_a_host_that_somebody_refused_stays_refused(policy: Policy, folder: Folder) -> None:
    host(folder, state=HostState.REFUSED, key="")

    with pytest.raises(NoWayError, match="Somebody has refused"):
        way(policy, SSH)


def test_a_bastion_is_a_host_of_the_page_and_the_instance_behind_it_shows_its_key_to_the_session(
    policy: Policy, folder: Folder
) -> None:
    remote = Remote("ssh", "ec2-user", bastion="jump@192.0.2.7:2222").filled()
    with pytest.raises(NoWayError, match=r"192\.0\.2\.7:2222"):
        way(policy, remote)
    SshHost.objects.filter(name="192.0.2.7").update(key=str(OLD), instance_id=BASTION_ID)

    found = way(policy, remote)

    assert found.address.host_keys == ()
    assert found.address.at == ""
    assert found.address.bastion is not None
    assert (found.address.bastion.user, found.address.bastion.at) == ("jump", "192.0.2.7")
    assert [(each.instance_id, each.user, each.is_bastion) for each in found.connects] == [
        (ID, "ec2-user", False),
        (BASTION_ID, "jump", True),
    ]


def test_a_bastion_takes_the_stored_key_if_there_is_one(policy: Policy, folder: Folder) -> None:
    host(folder, "192.0.2.7")
    remote = Remote("ssh", "ec2-user", bastion="192.0.2.7").filled()
    with pytest.raises(NoWayError, match="name its instance on the page Hosts"):
        way(policy, remote)
    key = keys.make(folder, by=None)

    found = way(policy, remote)

    assert found.connects == (Connect("us-east-1", ID, "ec2-user", "us-east-1a"),)
    opened = found.key(lambda _, __: None)
    assert opened.is_connect
    assert opened.for_bastion is not None
    assert opened.for_bastion.privates == (key.private,)


# What a session saw


def changed(name: str = "10.0.0.5") -> refusals.HostKeyError:
    return refusals.host_changed(name, 22, name, [OLD], NEW)


def alarms() -> list[Alarm]:
    return list(Alarm.objects.filter(kind=AlarmKind.HOST_KEY).order_by("pk"))


@pytest.fixture
def run(policy: Policy) -> Run:
    made: Run = factories.RunFactory.create(policy=policy, owner=policy.owner)
    return made


def test_an_instance_with_another_key_is_left_out_with_an_alarm_and_the_run_goes_on(
    run: Run, folder: Folder
) -> None:
    row = host(folder)

    ways.left_out(run, folder, [(ID, changed())])
    ways.left_out(run, folder, [(ID, changed())])

    row.refresh_from_db()
    assert (row.state, row.key, row.seen) == (HostState.CHANGED, str(OLD), str(NEW))
    (first,) = alarms()  # the same key again is told at most once an hour
    assert first.title.endswith("the SSH host key has CHANGED: 10.0.0.5")
    assert "goes on, without scripts" in first.text
    assert NEW.fingerprint in first.text
    assert first.not_before <= first.created_at
    assert any("Nothing was frozen there" in event.text for event in run.events.all())


def test_a_key_that_only_a_bastion_shows_is_put_on_the_page_without_an_alarm(
    run: Run, folder: Folder
) -> None:
    error = refusals.host_unknown("10.0.0.5", 22, "10.0.0.5", NEW)

    ways.left_out(run, folder, [(ID, error)])

    row = SshHost.objects.get(folder=folder)
    assert (row.state, row.seen, row.key, row.instance_id) == (HostState.SEEN, str(NEW), "", ID)
    assert alarms() == []


def test_what_somebody_refused_or_approved_meanwhile_is_not_overwritten(
    run: Run, folder: Folder
) -> None:
    refused = host(folder, "10.0.0.6", state=HostState.REFUSED, key="")
    approved = host(folder, key=str(NEW))

    ways.left_out(
        run,
        folder,
        [(ID, changed()), (ID, refusals.host_unknown("10.0.0.6", 22, "10.0.0.6", NEW))],
    )

    refused.refresh_from_db()
    approved.refresh_from_db()
    assert (refused.state, refused.seen) == (HostState.REFUSED, "")
    assert approved.state == HostState.APPROVED
    assert alarms() == []


def test_a_session_with_the_approved_key_ends_the_change(policy: Policy, folder: Folder) -> None:
    back = host(folder, state=HostState.CHANGED, seen=str(NEW))
    away = host(folder, "10.0.0.6", state=HostState.CHANGED, seen=str(NEW))
    keys.make(folder, by=None)

    ways.proved(folder, [way(policy, STORED)])

    back.refresh_from_db()
    away.refresh_from_db()
    assert (back.state, back.seen) == (HostState.APPROVED, str(OLD))
    assert away.state == HostState.CHANGED


# Hosts of scripts, and hosts of sessions


def test_a_host_that_a_run_logs_in_to_by_itself_does_not_stop_the_scripts_of_the_server(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(name: str, *_: object, **__: object) -> Answer:
        asked.append(name)
        raise NotAskedError("silent")

    monkeypatch.setattr(asking, "ask", ask)
    backup.scripts()
    target = backup.policy.targets.get()
    target.remote = Remote("ssh", "ec2-user", bastion="jump.example.org").filled()
    target.save()
    folder = backup.policy.folder
    host(folder, "10.0.0.5", instance_id=target.instance_id)
    host(folder, "jump.example.org")
    host(folder, "10.0.0.9", instance_id=target.instance_id, policies=[backup.policy.name])
    host(folder, "db1.example.org", instance_id=target.instance_id)

    run = backup.start()
    hosts.check(run, backup.policy, scripts.resolve(run, backup.policy))

    assert sorted(asked) == ["10.0.0.9", "db1.example.org"]
    assert run.state != State.FAILED
