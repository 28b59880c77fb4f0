"""A script folder as its page shows it."""

import os
from pathlib import Path

import pytest
from pytest_django import Settings

from policies.models import Policy
from scripts_admin.domain.file_names import Role
from scripts_admin.folders import looking, storage
from scripts_admin.models import Folder, User
from scripts_admin.selectors import shelf
from scripts_admin.services import folders, scripts
from scripts_admin.services.scripts import Text
from tests import factories

pytestmark = pytest.mark.django_db
TEXT = b"#!/bin/bash\ntrue\n"


@pytest.fixture
def alice(settings: Settings, tmp_path: Path) -> User:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    return factories.alice()


@pytest.fixture
def shop(alice: User) -> Policy:
    return factories.PolicyFactory.create(owner=alice, name="shop")


@pytest.fixture
def folder(shop: Policy) -> Folder:
    storage.create(shop.folder)
    return shop.folder


def put(folder: Folder, name: str, mode: int = 0o755) -> Path:
    path = storage.path(folder) / name
    path.write_bytes(TEXT)
    path.chmod(mode)
    return path


def test_each_file_is_told_by_what_it_is_for(folder: Folder, alice: User) -> None:
    for name in ("before_shop.sh", "after_shop.sh", "after_shop.v2.sh", "helper", "x.bak"):
        put(folder, name)
    put(folder, "complete_shop.sh", 0o644)
    put(folder, "before_gone.sh")
    (storage.path(folder) / "b\N{CYRILLIC SMALL LETTER IE}fore_shop.sh").symlink_to("helper")

    seen = shelf.of(folder, alice)

    rows = {row.name: row for row in seen.rows}
    assert rows["before_shop.sh"].problem == ""
    assert (rows["before_shop.sh"].policy, rows["before_shop.sh"].phase) == ("shop", "before")
    assert rows["before_shop.sh"].mode == "rwxr-xr-x"
    assert "More than one file fits after of shop" in rows["after_shop.sh"].problem
    assert "is not executable" in rows["complete_shop.sh"].problem
    assert rows["helper"].role == Role.HELPER
    assert "no policy gone" in rows["before_gone.sh"].note
    assert "end in .bak" in rows["x.bak"].note
    assert "CYRILLIC" in rows["b\N{CYRILLIC SMALL LETTER IE}fore_shop.sh"].note
    slots = {str(slot.phase): slot for slot in seen.policies[0].slots}
    assert slots["before"].files == ("before_shop.sh",)
    assert len(slots["after"].files) == 2


def test_the_last_run_of_the_policy_says_how_its_scripts_ended(
    folder: Folder, alice: User, shop: Policy
) -> None:
    put(folder, "before_shop.sh")
    run = factories.RunFactory.create(policy=shop)
    factories.result(run, "before", outcome="failed", exit_code=3)
    Policy.objects.filter(pk=shop.pk).update(last_run=run)

    seen = shelf.of(folder, alice)

    result = seen.rows[0].result
    assert result is not None
    assert (result.outcome, result.exit_code) == ("failed", 3)
    assert seen.policies[0].policy.last_run == str(run.pk)


def test_who_may_see_the_folder_and_not_the_policy_gets_no_way_to_its_runs(
    folder: Folder, shop: Policy
) -> None:
    Policy.objects.filter(pk=shop.pk).update(last_run=factories.RunFactory.create(policy=shop))

    found = shelf.of(folder, factories.bob()).policies[0].policy

    assert not found.is_visible
    assert found.last_run == ""


def test_the_last_change_has_its_author_until_somebody_else_changes_the_file(
    folder: Folder, alice: User
) -> None:
    scripts.save(folder, Text("before_shop.sh", TEXT), actor=alice)
    assert shelf.of(folder, alice).rows[0].changed_by == "alice"

    later = storage.path(folder) / "before_shop.sh"
    os.utime(later, (later.stat().st_mtime + 60, later.stat().st_mtime + 60))
    assert shelf.of(folder, alice).rows[0].changed_by == ""


def test_of_many_files_one_page_is_looked_at_and_scripts_come_first(
    folder: Folder, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(250):
        (storage.path(folder) / f"a{number:03}").touch()
    put(folder, "before_shop.sh")
    real, looked = looking.glance, list[str]()

    def counted(place: int, name: str) -> object:
        looked.append(name)
        return real(place, name)

    monkeypatch.setattr(looking, "glance", counted)
    first, last = shelf.of(folder, alice), shelf.of(folder, alice, "3")

    assert len(looked) == 151
    assert first.rows[0].name == "before_shop.sh"
    assert (len(first.rows), len(last.rows)) == (shelf.PAGE_SIZE, 51)
    assert first.page is not None
    assert first.page.paginator.count == 251


def test_of_too_many_files_the_page_says_that_it_shows_a_part(
    folder: Folder, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        (storage.path(folder) / f"a{number}").touch()
    monkeypatch.setattr(looking, "MOST_NAMES", 10)

    seen = shelf.of(folder, alice)

    assert seen.is_cut
    assert len(seen.rows) == 10


def test_a_folder_that_is_not_there_or_no_folder_is_one_sentence(alice: User) -> None:
    folder = folders.of(alice)
    assert "does not exist yet" in shelf.of(folder, alice).problem

    place = storage.path(folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("no folder")
    assert "cannot be opened" in shelf.of(folder, alice).problem


def test_who_may_see_the_folder_alone_learns_nothing_of_the_runs(
    folder: Folder, shop: Policy, alice: User
) -> None:
    put(folder, "before_shop.sh")
    run = factories.RunFactory.create(policy=shop, hold_seconds=2.5)
    run.phases.create(phase="before", attempt=1, outcome="succeeded", exit_code=0)
    Policy.objects.filter(pk=shop.pk).update(last_run=run)

    for viewer, sees in ((alice, True), (factories.bob(), False)):
        seen = shelf.of(folder, viewer)
        (row,) = seen.policies
        (file,) = seen.rows
        said = (
            row.policy.last_state,
            row.policy.last_at,
            row.policy.hold_seconds,
            row.slots[0].result,
            file.result,
        )
        assert [bool(each) for each in said] == [sees] * 5


def test_files_for_instances_are_told_by_which_they_serve(folder: Folder, alice: User) -> None:
    one, two, bare = "i-0123456789abcdef0", "i-0fedcba9876543210", "i-0aaaaaaaaaaaaaaaa"
    policy = Policy.objects.get(name="shop")
    for instance, by in ((one, "ssm"), (two, "ssm"), (bare, "")):
        factories.PolicyTargetFactory.create(policy=policy, instance_id=instance, remote_by=by)
    for name in ("before_shop@all.sh", f"after_shop@{one}.sh", f"before_shop@{bare}.sh"):
        put(folder, name, 0o644)
    put(folder, f"before_shop@{two}.sh").write_bytes(b"no first line")

    seen = shelf.of(folder, alice)
    closed = shelf.of(folder, factories.bob())

    rows = {row.name: row for row in seen.rows}
    assert (rows["before_shop@all.sh"].problem, rows["before_shop@all.sh"].instance) == ("", "all")
    assert rows["before_shop@all.sh"].note == f"it serves {one}"
    assert rows[f"after_shop@{one}.sh"].problem == ""
    assert "names no interpreter" in rows[f"before_shop@{two}.sh"].problem
    assert rows[f"before_shop@{bare}.sh"].role == Role.STRAY
    assert f"no scripts run on {bare}" in rows[f"before_shop@{bare}.sh"].note
    assert [(each.instance, each.files, each.problem) for each in seen.there] == [
        (one, (("before_shop@all.sh",), (f"after_shop@{one}.sh",)), ""),
        (
            two,
            ((f"before_shop@{two}.sh",), ()),
            "nothing thaws what before freezes there",
        ),
    ]
    assert not closed.there  # the right on a folder is none on its policies
    assert next(row for row in closed.rows if row.name == "before_shop@all.sh").note == ""
