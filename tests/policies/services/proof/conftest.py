"""A restore point in memory, for proofs."""

from pathlib import Path

import pytest

from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from tests import factories
from tests.policies.services.proof.prepared import Provable, provable


@pytest.fixture
def ready(
    db: None, cloud: MemoryCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Provable:
    """Give Alice's policy with one restore point."""
    policy = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    made = provable(policy, tmp_path / "image")
    monkeypatch.setattr(session, "images", lambda: made.images)
    monkeypatch.setattr(session, "blocks", lambda _credentials: made.blocks)
    return made
