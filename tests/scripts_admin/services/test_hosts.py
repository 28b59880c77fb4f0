"""Hosts: who decides what about a key, what is refused with which sentence, and how often a tenant may ask."""

import re
from collections.abc import Collection
from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine

from n2wbackup.lib import clock
from scripts_admin.domain import ssh
from scripts_admin.domain.audit import Action, Kind
from scripts_admin.hosts import asking, keypairs
from scripts_admin.hosts.asking import Answer, NotAskedError
from scripts_admin.models import AuditEntry, Folder, HostState, SshHost, User
from scripts_admin.services import folders, hosts
from scripts_admin.services.hosts import Console, HostRefusedError
from tests import factories

pytestmark = pytest.mark.django_db
OLD, NEW = keypairs.make().public, keypairs.make().public
NOTHING = Console()


@pytest.fixture
def alice() -> User:
    return factories.alice()


@pytest.fixture
def folder(alice: User) -> Folder:
    return folders.of(alice)


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Which key each host shows; what is not here is silent."""
    shown: dict[str, object] = {}

    def ask(name: str, port: int, _seconds: float, kinds: Collection[str], **_: object) -> Answer:
        assert set(kinds) == set(ssh.KINDS)
        if name not in shown:
            raise NotAskedError(f"{name} on port {port} did not answer.")
        return Answer(shown[name], "10.0.0.7")  # type: ignore[arg-type]

    monkeypatch.setattr(asking, "ask", ask)
    return shown


def nowhere(_folder: Folder, _instance: str, _names: Collection[str]) -> Console:
    return NOTHING


def fetched(host: SshHost, console: Console = NOTHING) -> SshHost:
    hosts.fetch(host.pk, lambda *_: console)
    return again(host)


def again(host: SshHost) -> SshHost:
    return SshHost.objects.get(pk=host.pk)


def entries(action: Action) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=action, kind=Kind.SSH_HOST))


def test_a_host_is_asked_and_waits_for_a_person(
    alice: User, folder: Folder, net: dict[str, object]
) -> None:
    net["db1"] = OLD
    host = hosts.add(folder, "DB1", by=alice)
    assert hosts.due() == [host.pk]

    seen = fetched(host, Console("i-1", f"ec2: 256 {OLD.fingerprint} root@db1 (ED25519)"))

    assert (seen.state, seen.key, seen.seen) == (HostState.SEEN, "", str(OLD))
    assert (seen.instance_id, seen.console) == ("i-1", [OLD.fingerprint])
    assert hosts.due() == []
    assert [each.owner_id for each in entries(Action.CREATED)] == [alice.pk]


def test_what_a_person_approves_is_the_key_on_the_page(
    alice: User, folder: Folder, net: dict[str, object]
) -> None:
    net["db1"] = OLD
    host = fetched(hosts.add(folder, "db1", by=alice))

    with pytest.raises(HostRefusedError, match="does not show the key"):
        hosts.approve(host, NEW.fingerprint, by=alice)
    assert again(host).key == ""

    hosts.approve(host, OLD.fingerprint, by=alice)

    approved = again(host)
    assert (approved.state, approved.key) == (HostState.APPROVED, str(OLD))
    assert approved.approved_by == "alice"
    assert entries(Action.APPROVED)[0].changes == [["fingerprint", "", OLD.fingerprint]]


def test_an_expected_fingerprint_approves_the_right_key_by_itself(
    alice: User, folder: Folder, net: dict[str, object]
) -> None:
    net["db1"] = OLD
    host = hosts.add(folder, "db1", by=alice, expected=f"256 {OLD.fingerprint} root@db1 (ED25519)")

    approved = fetched(host)

    assert (approved.state, approved.key, approved.expected) == (HostState.APPROVED, str(OLD), "")
    assert [(e.name, e.reason) for e in entries(Action.APPROVED)] == [
        ("alice", "the fingerprint that was pasted before")
    ]


def test_an_expected_fingerprint_refuses_another_key_loudly(
    alice: User, folder: Folder, net: dict[str, object]
) -> None:
    net["db1"] = NEW
    host = fetched(hosts.add(folder, "db1", by=alice, expected=OLD.fingerprint))

    assert (host.state, host.key) == (HostState.REFUSED, "")
    assert host.problem.startswith("THE WRONG KEY: db1 shows")
    assert OLD.fingerprint in host.problem
    assert NEW.fingerprint in host.problem


def test_a_fingerprint_that_is_pasted_later_is_compared_at_once(
    alice: User, folder: Folder, net: dict[str, object]
) -> None:
    net["db1"] = OLD
    host = fetched(hosts.add(folder, "db1", by=alice))

    assert hosts.expect(host, NEW.fingerprint, by=alice).state == HostState.REFUSED
    assert hosts.expect(host, OLD.fingerprint, by=alice).state == HostState.APPROVED
    with pytest.raises(HostRefusedError, match="Write one fingerprint"):
        hosts.expect(host, "yes", by=alice)


@pytest.mark.parametrize("choice", ["approve", "refuse"])
def test_a_changed_key_keeps_the_approved_one_until_a_person_decides(
    choice: str, alice: User, folder: Folder, net: dict[str, object]
) -> None:
    net["db1"] = OLD
    host = fetched(hosts.add(folder, "db1", by=alice))
    hosts.approve(host, OLD.fingerprint, by=alice)
    net["db1"] = NEW
    hosts.ask(host, by=alice)

    changed = fetched(host)

    assert (changed.state, changed.key, changed.seen) == (HostState.CHANGED, str(OLD), str(NEW))
    assert "has changed" in changed.problem
    if choice == "approve":
        hosts.approve(host, NEW.fingerprint, by=alice)
        assert (again(host).state, again(host).key) == (HostState.APPROVED, str(NEW))
    else:
        hosts.refuse(host, by=alice)
        assert (again(host).state, again(host).key) == (HostState.APPROVED, str(OLD))


def test_refusing_an_approved_host_takes_its_key_away(
    alice: User, folder: Folder, net: dict[str, object]
) -> None:
    net["db1"] = OLD
    host = fetched(hosts.add(folder, "db1", by=alice))
    hosts.approve(host, OLD.fingerprint, by=alice)

    hosts.refuse(host, by=alice)

    assert (again(host).state, again(host).key, again(host).seen) == (HostState.REFUSED, "", "")


@pytest.mark.parametrize("approved", [True, False])
def test_a_silent_host_is_no_changed_host(
    approved: bool, alice: User, folder: Folder, net: dict[str, object]
) -> None:
    net["db1"] = OLD
    host = fetched(hosts.add(folder, "db1", by=alice))
    if approved:
        hosts.approve(host, OLD.fingerprint, by=alice)
    net.clear()
    hosts.ask(host, by=alice)

    silent = fetched(host)

    assert silent.state == (HostState.APPROVED if approved else HostState.SILENT)
    assert silent.problem == "db1 on port 22 did not answer."


@pytest.mark.parametrize(
    ("name", "port", "expected", "sentence"),
    [
        ("a b", 22, "", "is no host"),
        ("db1", 0, "", "from 1 to 65535"),
        ("db1", 65536, "", "from 1 to 65535"),
        ("db1", 22, "yes", "Write one fingerprint"),
    ],
)
def test_nonsense_is_refused_and_nobody_is_asked(
    name: str, port: int, expected: str, sentence: str, alice: User, folder: Folder
) -> None:
    with pytest.raises(HostRefusedError, match=sentence):
        hosts.add(folder, name, port, by=alice, expected=expected)

    assert not SshHost.objects.exists()


def test_a_host_is_listed_once_for_each_owner(alice: User, folder: Folder) -> None:
    hosts.add(folder, "db1", by=alice)

    with pytest.raises(HostRefusedError, match="listed already"):
        hosts.add(folder, "db1", by=alice)
    other = factories.UserFactory.create(username="carol")
    hosts.add(folders.of(other), "db1", by=other)


def test_a_tenant_asks_only_so_often_and_all_tenants_together_too(
    alice: User, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "MOST_OF_ALL", hosts.MOST_OF_FOLDER + 1)
    for number in range(hosts.MOST_OF_FOLDER):
        host = hosts.add(folder, f"db{number}", by=alice)
        hosts.remove(host, by=alice)  # which gives no new questions
    carol = factories.UserFactory.create(username="carol")

    with pytest.raises(HostRefusedError, match="for these scripts"):
        hosts.add(folder, "one-more", by=alice)
    hosts.add(folders.of(carol), "db1", by=carol)
    with pytest.raises(HostRefusedError, match="on this server"):
        hosts.add(folders.of(carol), "db2", by=carol)
    with time_machine.travel(clock.now() + hosts.WITHIN + timedelta(seconds=1)):
        hosts.add(folder, "one-more", by=alice)


def test_a_question_is_answered_by_one_worker_and_taken_over_from_a_lost_one(
    alice: User, folder: Folder, net: dict[str, object]
) -> None:
    host = hosts.add(folder, "db1", by=alice)
    SshHost.objects.update(taken_at=clock.now())
    net["db1"] = OLD

    assert fetched(host).state == HostState.ASKED
    with time_machine.travel(clock.now() + hosts.LOST + timedelta(seconds=1)):
        assert hosts.due() == [host.pk]
        assert fetched(host).state == HostState.SEEN


def test_an_answer_to_a_host_that_was_removed_meanwhile_is_dropped() -> None:
    hosts.enter(uuid4(), OLD, "", NOTHING, taken_at=clock.now())
    hosts.fetch(uuid4(), nowhere)

    assert not SshHost.objects.exists()


def test_the_ties_of_a_host_follow_the_names_of_policies(alice: User, folder: Folder) -> None:
    host = hosts.add(folder, "db1", by=alice)
    hosts.tie(host, ["shop", "web"], "i-1", by=alice)

    hosts.rename_policy(folder, "shop", "store")

    assert again(host).policies == ["store", "web"]
    said = entries(Action.CHANGED)[0].changes
    assert re.search("shop", str(said))
