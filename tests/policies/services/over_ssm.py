"""Instances for runs that SSM reaches: agents that behave as on AWS, beside an EC2 in memory."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from n2wbackup.demo.aws import SimulatedAws
from policies.ports import Instance
from scripts_admin.domain.remote import Remote
from tests.policies.services.backup import Backup


@pytest.fixture(scope="module")
def agents_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedAws]:
    with SimulatedAws(tmp_path_factory.mktemp("aws"), ssm_delivery_seconds=0.01) as aws:
        yield aws


@pytest.fixture
def agents(agents_process: SimulatedAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedAws]:
    """Give the SSM that every account reaches, as new."""
    for name, value in agents_process.environment.items():
        monkeypatch.setenv(name, value)
    yield agents_process
    agents_process.reset()


@pytest.fixture
def managed(backup: Backup, agents: SimulatedAws, tmp_path: Path) -> Iterator[Backup]:
    """A policy whose instance SSM reaches; its scripts are carried there."""
    manage(backup, agents, backup.instance, tmp_path / "first")
    scripts(backup)
    yield backup
    for base in ("/run", "/dev/shm"):
        for target in backup.policy.targets.all():
            for left in Path(base).glob(f"n2w-*{target.instance_id}"):
                shutil.rmtree(left)


def manage(backup: Backup, agents: SimulatedAws, instance: Instance, place: Path) -> str:
    """Let SSM manage an instance of the policy: it gets the id of one that has an agent, in this folder."""
    place.mkdir()
    made = agents.add_instance(instance.region, folder=place).instance_id
    known = backup.cloud._instances
    known[made] = replace(known.pop(instance.instance_id), instance_id=made)
    row = backup.policy.targets.get(instance_id=instance.instance_id)
    row.instance_id, row.remote = made, Remote("ssm").filled()
    row.save()
    account = backup.policy.account
    account.access_key_id = agents.environment["AWS_ACCESS_KEY_ID"]
    account.secret_access_key = agents.environment["AWS_SECRET_ACCESS_KEY"]
    account.save()
    return made


def scripts(backup: Backup, before: str = "echo held", after: str = "echo released") -> None:
    """Write the scripts that are carried to every instance; each notes its phase, its argument and where it runs."""
    marks = backup.folder / "marks"
    for phase, body in (("before", before), ("after", after)):
        script = backup.folder / f"{phase}_{backup.policy.name}@all.sh"
        said = f"{phase} on $N2W_INSTANCE_ID${{1:+ $1}}"
        script.write_text(f'#!/bin/sh\necho "{said}" >> {marks}\n{body}\n')
