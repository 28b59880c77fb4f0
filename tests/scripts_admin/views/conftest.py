"""Alice owns a folder with the scripts of a policy, Bob may use it, Charlie is a stranger."""

from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from scripts_admin.folders import storage
from scripts_admin.models import Folder, User
from scripts_admin.services import folders
from tests import factories


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Path:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    return tmp_path / "scripts"


@pytest.fixture
def alice(client: Client) -> User:
    """Alice, logged in."""
    made = factories.alice()
    client.force_login(made)
    return made


@pytest.fixture
def folder(alice: User) -> Folder:
    found = folders.of(alice)
    storage.create(found)
    factories.PolicyFactory.create(owner=alice, name="shop")
    return found


@pytest.fixture
def place(folder: Folder) -> Path:
    return storage.path(folder)
