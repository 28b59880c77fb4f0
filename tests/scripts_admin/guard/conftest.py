"""Fixtures of the tests of the script engine."""

from pathlib import Path

import pytest

from tests.scripts_admin.guard.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return the folder, spool and journal of one run."""
    return Stage.under(tmp_path)
