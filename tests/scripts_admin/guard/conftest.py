"""What the tests of the script engine stand on."""

from pathlib import Path

import pytest

from tests.scripts_admin.guard.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Give one run's folder, spool and journal."""
    return Stage.under(tmp_path)
