"""What the tests of services, selectors and JSON stand on: a home of their own and an account in memory."""

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from ipaddress import ip_network
from pathlib import Path

import pytest
from pytest_django import Settings

from n2wbackup.lib import home
from policies.adapters import broker, post, session
from policies.adapters.memory import MemoryCloud
from policies.adapters.memory_removing import MemoryRemoving
from policies.services.servers import heart
from policies.services.watch import abandoned
from scripts_admin.folders import storage
from tests import factories
from tests.ground import receivers as ground
from tests.ground.receivers import Webhook
from tests.policies.services import couriers
from tests.policies.services import elsewhere as servers
from tests.policies.services.backup import Backup
from tests.policies.services.elsewhere import Elsewhere


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """Give a fresh N2W_HOME, and take its folder in memory away again."""
    settings.N2W_HOME = tmp_path
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    yield tmp_path
    shutil.rmtree(home.runtime_of(tmp_path), ignore_errors=True)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> MemoryCloud:
    """Give the AWS account that every policy reaches."""
    made = MemoryCloud()
    monkeypatch.setattr(session, "cloud", lambda _credentials: made)
    return made


@pytest.fixture
def removing(cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch) -> MemoryRemoving:
    """Give what deletes in that account."""
    made = MemoryRemoving(cloud)
    monkeypatch.setattr(session, "removing", lambda _credentials: made)
    return made


@pytest.fixture(autouse=True)
def one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the test's connection, which holds its transaction."""
    monkeypatch.setattr(abandoned, "close_old_connections", lambda: None)


@pytest.fixture(autouse=True)
def no_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread beat: its row would be committed, and stay for all later tests."""
    monkeypatch.setattr(heart, "beating", lambda *_: nullcontext())


@pytest.fixture(autouse=True)
def empty_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the broker hold nothing: it belongs to the process, and other tests leave their hints in it."""
    monkeypatch.setattr(broker, "is_behind", lambda *_: False)


@pytest.fixture
def backup(db: None, cloud: MemoryCloud) -> Backup:
    """Give Alice's policy, without scripts."""
    policy = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    instance = cloud.add_instance()
    factories.PolicyTargetFactory.create(policy=policy, instance_id=instance.instance_id)
    return Backup(policy, cloud, instance, storage.create(policy.folder))


@pytest.fixture
def elsewhere(
    tmp_path_factory: pytest.TempPathFactory, own_home: Path, settings: Settings
) -> Iterator[Elsewhere]:
    """Give another server on the same database."""
    assert own_home == settings.N2W_HOME
    with servers.made(tmp_path_factory.mktemp("elsewhere") / "home", settings) as other:
        yield other


@pytest.fixture
def courier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have letters carried within this process; the contract suite has the real courier."""
    monkeypatch.setattr(post, "_courier", couriers.within)


@pytest.fixture
def real_courier(courier: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have letters carried as the product does, by a process of its own."""
    monkeypatch.setattr(post, "_courier", couriers.PROCESS)


@pytest.fixture
def loopback(settings: Settings, courier: None) -> None:
    """Let alarms go to receivers on this machine."""
    settings.N2W_ALARM_NETWORKS = [ip_network("127.0.0.0/8")]


@pytest.fixture
def hook(loopback: None) -> Iterator[Webhook]:
    """Give a receiver of alarms on this machine that takes everything."""
    with ground.webhook() as served:
        yield served
