"""A run that is frozen, and a clock, for the alarms without the database."""

import pytest

from policies.models import Run
from policies.services.alarms import receivers
from tests.ground.receivers import Webhook
from tests.policies.services.backup import Backup
from tests.policies.services.watch.spool_alarms import TOKEN, Clock


@pytest.fixture
def frozen(backup: Backup, hook: Webhook) -> Run:
    """A run whose after has failed, with receivers."""
    receivers.save(receivers.of(policy=backup.policy), {"urls": f"{hook.json_url}/{TOKEN}"})
    backup.scripts(after="[ -e fixed ]")
    return backup.window()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)
