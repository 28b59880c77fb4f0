"""The dry try of a login for the form of a policy, against a real sshd."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import NamedTuple

import pytest
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.models import Policy
from policies.services.entry import trying
from policies.services.entry.trying import Tried
from scripts_admin.domain.remote import Remote
from scripts_admin.hosts import keypairs
from scripts_admin.models import HostState, SshHost
from scripts_admin.services import keys
from tests import factories
from tests.ground import sshd
from tests.ground.sshd import Sshd

pytestmark = [pytest.mark.django_db, pytest.mark.real]
REGION = "us-east-1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    also = {"forced": ["ForceCommand echo Hello"]}
    with sshd.running(tmp_path_factory.mktemp("sshd"), also=also) as running:
        yield running


class Ground(NamedTuple):
    """A policy whose instance is the sshd, and whether that asks for keys of EC2 Instance Connect."""

    policy: Policy
    server: Sshd
    instance_id: str

    def approve(self, port: int, key: str = "") -> SshHost:
        return SshHost.objects.create(
            folder=self.policy.folder,
            name="127.0.0.1",
            port=port,
            state=HostState.APPROVED,
            key=key or self.server.host_key,
            added_at=clock.now(),
        )

    def tried(self, port: int, bastion: str = "") -> Tried:
        assert self.policy.account is not None
        remote = Remote(
            "ssh", self.server.user, host="127.0.0.1", port=port, bastion=bastion
        ).filled()
        return trying.log_in(
            self.policy.folder, self.policy.account, remote, REGION, self.instance_id
        )

    def install_connect(self, monkeypatch: pytest.MonkeyPatch, *, is_there: bool) -> None:
        let_in = self.server.let_in

        class Connect:
            def hand_over(self, *given: str) -> None:
                if is_there:
                    let_in(given[3])

        monkeypatch.setattr(session, "instance_connect", lambda _credentials: Connect())


@pytest.fixture
def ground(server: Sshd, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Ground:
    settings.N2W_SSH_NETWORKS = [ip_network("127.0.0.0/8")]
    cloud = MemoryCloud()
    monkeypatch.setattr(session, "cloud", lambda _credentials: cloud)
    return Ground(factories.PolicyFactory.create(), server, cloud.add_instance(REGION).instance_id)


def test_instance_connect_is_proposed_where_it_works(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.install_connect(monkeypatch, is_there=True)
    ground.approve(ground.server.port)

    found = ground.tried(ground.server.port)

    assert found.key == "instance-connect"
    assert "choose it, as no private key has to be kept" in found.sentence


def test_the_stored_key_is_tried_where_instance_connect_does_not_work(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.install_connect(monkeypatch, is_there=False)
    ground.approve(ground.server.port)
    made = keys.make(ground.policy.folder, by=None)
    neither = ground.tried(ground.server.port)
    ground.server.let_in(made.authorized_keys)

    found = ground.tried(ground.server.port)

    assert neither.key == ""
    assert made.fingerprint in neither.sentence
    assert found.key == "stored"
    assert "install ec2-instance-connect there" in found.sentence


def test_a_login_that_runs_something_else_does_not_work(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = ground.server.ports["forced"]
    ground.install_connect(monkeypatch, is_there=True)
    ground.approve(port)

    found = ground.tried(port)

    assert found.key == ""
    assert "remove ForceCommand" in found.sentence


def test_nobody_is_logged_in_to_whose_key_is_unknown_or_changed(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.install_connect(monkeypatch, is_there=True)
    assert "Nobody has approved" in ground.tried(ground.server.port).sentence
    SshHost.objects.all().delete()
    ground.approve(ground.server.port, str(keypairs.make().public))

    found = ground.tried(ground.server.port)

    assert found.key == ""
    assert found.sentence.count("has changed") == 1


def test_a_host_behind_a_bastion_shows_its_key_on_the_page(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.install_connect(monkeypatch, is_there=True)
    bastion = ground.server.ports["forced"]
    ground.approve(bastion)
    keys.make(ground.policy.folder, by=None)
    ground.server.let_in(keys_line(ground))

    found = ground.tried(ground.server.port, bastion=f"127.0.0.1:{bastion}")

    row = SshHost.objects.get(port=ground.server.port)
    assert (row.state, row.seen) == (HostState.SEEN, ground.server.host_key)
    assert "Compare it on the page Hosts" in found.sentence


def keys_line(ground: Ground) -> str:
    """The line for a bastion: forwarding is allowed beside `restrict`."""
    line = ground.policy.folder.ssh_keys.get().authorized_keys
    return line.replace("restrict ", "restrict,port-forwarding ", 1)
