"""The clouds that the contract suites run against."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from n2wbackup.demo.aws import SimulatedAws
from policies.adapters.clients import Clients
from policies.adapters.ec2 import Ec2Cloud
from policies.ports import Cloud, Credentials
from tests.contract.clouds import Ground, MemoryGround, SimulatedGround, enter


@pytest.fixture(scope="session")
def simulated_aws_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedAws]:
    with SimulatedAws(
        tmp_path_factory.mktemp("aws"), pending_seconds=0.3, ssm_delivery_seconds=0.01
    ) as aws:
        yield aws


@pytest.fixture
def simulated_aws(simulated_aws_process: SimulatedAws) -> Iterator[SimulatedAws]:
    """A simulated AWS, as new: AWS's own limits, snapshots pend for 0.3 s."""
    yield simulated_aws_process
    simulated_aws_process.reset()


@pytest.fixture
def aws(
    simulated_aws: SimulatedAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> SimulatedAws:
    enter(simulated_aws, monkeypatch, tmp_path)
    return simulated_aws


@pytest.fixture
def cloud(aws: SimulatedAws) -> Cloud:
    return Ec2Cloud(Clients(Credentials()))


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder that every account may enter; pytest's own are closed."""
    made = Path(tempfile.mkdtemp(prefix="n2wbackup-runs-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(params=["memory", "ec2"])
def ground(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Ground:
    if request.param == "memory":
        return MemoryGround()
    aws = request.getfixturevalue("simulated_aws")
    enter(aws, monkeypatch, tmp_path)
    return SimulatedGround(aws)
