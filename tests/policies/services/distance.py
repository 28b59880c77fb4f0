"""An instance for runs: a real sshd of this machine, where the scripts of a policy run."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from pytest_django import Settings

from n2wbackup.lib import clock, home
from policies.domain.runs.sequence import State
from policies.models import Run
from policies.services.watch import abandoned
from scripts_admin.domain.remote import Remote
from scripts_admin.models import HostState, SshHost
from scripts_admin.services import keys
from tests.ground import sshd
from tests.policies.services.backup import Backup
from tests.scripts_admin.guard.stage import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    with sshd.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def reached(backup: Backup, server: sshd.Sshd, settings: Settings) -> Backup:
    """A policy whose instance is the sshd; its scripts are carried there."""
    settings.N2W_SSH_NETWORKS = [ip_network("127.0.0.0/8")]
    folder = backup.policy.folder
    key = keys.bring(folder, server.key.read_text(), by=None)
    assert key.private
    SshHost.objects.create(
        folder=folder,
        name="127.0.0.1",
        port=server.port,
        state=HostState.APPROVED,
        key=server.host_key,
        added_at=clock.now(),
    )
    row = backup.policy.targets.get()
    row.remote = Remote(
        "ssh", user=server.user, key="stored", host="127.0.0.1", port=server.port
    ).filled()
    row.save()
    there(backup, before="echo held", after="echo released")
    return backup


def there(backup: Backup, **bodies: str) -> None:
    """Write the scripts that are carried to the instance; each notes its phase and argument."""
    marks = backup.folder / "marks"
    for phase, body in bodies.items():
        script = backup.folder / f"{phase}_{backup.policy.name}@all.sh"
        script.write_text(f'#!/bin/sh\necho "{phase} there${{1:+ $1}}" >> {marks}\n{body}\n')


def watched(run: Run) -> Run:
    """Let the watchdog work until the run is thawed."""
    thawer = abandoned.Thawer(home.spool(), home.runtime())

    def is_thawed() -> bool:
        thawer.turn()
        abandoned.enter_all()
        run.refresh_from_db()
        return run.state not in (State.FROZEN, State.THAWING) and bool(thawer.reap())

    until(is_thawed)
    return run
