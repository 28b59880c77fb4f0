"""A copy is browsed at its own address, by those who may restore from its run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from policies.adapters.folder_images import FolderImages
from policies.models import OpenedSnapshot, RunSnapshot
from policies.services.browsing import opening
from tests import factories
from tests.policies.services.browsing import opened
from tests.policies.services.browsing.opened import open_now
from tests.policies.views import logins, page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.fixture
def images(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FolderImages]:
    settings.N2W_HOME = tmp_path / "home"
    settings.N2W_HOME.mkdir()
    with opened.images(opened.disk(tmp_path), monkeypatch) as made:
        yield made


@pytest.fixture
def row(db: None, images: FolderImages) -> OpenedSnapshot:
    return open_now(opened.snapshot())


@pytest.fixture
def alice(row: OpenedSnapshot) -> Client:
    return logins.confirm(page.client_of(factories.alice()))


def test_a_copy_is_browsed_at_its_own_address_and_by_nobody_else(
    row: OpenedSnapshot, alice: Client
) -> None:
    copy = opened.copy_of(row.snapshot)
    RunSnapshot.objects.filter(pk=row.snapshot_id).update(state="gone")
    address = f"/snapshots/{copy.snapshot_id}/files/"
    charlie = page.client_of(factories.charlie())
    for answer in (charlie.get(address), charlie.post(address)):
        assert answer.status_code == 404
    shown = alice.get(address).content.decode()
    assert "a copy in eu-west-1" in shown

    answer = alice.post(address)

    made = OpenedSnapshot.objects.get(copy=copy)
    assert answer["Location"] == f"/files/{made.pk}/"
    opening.work(made.pk)
    text = alice.get(f"/files/{made.pk}/").content.decode()
    assert copy.snapshot_id in text
    assert "var" in text
    assert charlie.get(f"/files/{made.pk}/").status_code == 404
