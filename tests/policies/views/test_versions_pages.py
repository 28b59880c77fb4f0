"""The versions of a script on pages: who changed what, the exact text of a run, and writing an earlier one back."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from n2wbackup.lib import clock
from policies.models import PhaseResult, Policy, Run
from policies.selectors import run_page, runs
from scripts_admin.folders import storage
from scripts_admin.models import AuditEntry, Folder, ScriptVersion
from scripts_admin.services import folders, versions
from tests import factories
from tests.policies.views import page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
NAME = "before_nightly.sh"
EVIL = '"><svg onload=alert(1)>'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(settings, "N2W_SCRIPTS_ROOT", tmp_path / "scripts")
    made = folders.of(factories.alice())
    storage.create(made)
    return made


@pytest.fixture
def alice() -> Client:
    return page.client_of(factories.alice())


def saved(folder: Folder, text: str, message: str = "") -> ScriptVersion:
    """Write a file, as Alice does on a page."""
    path = storage.path(folder) / NAME
    path.write_text(text)
    path.chmod(0o750)
    return versions.keep(
        folder, NAME, text.encode(), author=factories.alice(), source="page", message=message
    )


def ran(folder: Folder, version: ScriptVersion | None, **columns: object) -> Run:
    policy, _ = Policy.objects.get_or_create(
        owner=folder.owner,
        name="nightly",
        defaults={"folder": folder, "account": factories.AccountFactory.create(owner=folder.owner)},
    )
    run: Run = factories.RunFactory.create(policy=policy, state="succeeded", ended_at=clock.now())
    facts: dict[str, Any] = {
        "script_sha256": version.sha256 if version else "",
        "script_version": version,
    }
    factories.result(run, "before", script=NAME, **{**facts, **columns})
    return run


def seen(client: Client, path: str) -> page.Page:
    return page.read(client, path)


def base(version: ScriptVersion) -> str:
    return f"/scripts/alice/files/{NAME}/versions/{version.pk}/"


def test_the_list_has_author_way_and_message_newest_first(folder: Folder, alice: Client) -> None:
    saved(folder, "one\n", "the first")
    (storage.path(folder) / NAME).write_text("two\n")
    versions.look(folder)

    text = seen(alice, f"/scripts/alice/files/{NAME}/versions/").text

    assert text.index("over SSH") < text.index("the first")
    assert "alice" in text


def test_what_others_wrote_is_shown_and_does_nothing(folder: Folder, alice: Client) -> None:
    version = saved(folder, f"{EVIL}\n\u202e\x1b[31m\n", EVIL)
    run = ran(folder, version)

    for path in (
        base(version),
        f"{base(version)}restore/",
        f"/scripts/alice/files/{NAME}/versions/",
        f"/runs/{run.pk}/scripts/before/1/",
    ):
        content = alice.get(path).content.decode()
        assert "<svg onload" not in content
        assert "\u202e" not in content
        assert "\x1b" not in content


def test_a_version_shows_what_it_changed(folder: Folder, alice: Client) -> None:
    saved(folder, "one\ntwo\n")
    version = saved(folder, "one\nthree\n")

    found = alice.get(base(version)).content.decode()

    assert "difference-gone" in found
    assert "difference-new" in found
    assert "three" in found


def test_a_private_key_is_named_and_never_shown(folder: Folder, alice: Client) -> None:
    key = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{'b3BlbnNzaC1r' * 6}\n"
    version = saved(folder, key)
    run = ran(folder, version)

    for path in (base(version), f"/runs/{run.pk}/scripts/before/1/"):
        found = seen(alice, path)
        assert "held a private key" in found.text
        assert "b3BlbnNzaC1r" not in found.text
    assert alice.get(f"{base(version)}restore/").status_code == 404


def test_an_earlier_version_is_restored_as_a_new_one(folder: Folder, alice: Client) -> None:
    first = saved(folder, "one\n")
    second = saved(folder, "two\n")

    answer = alice.post(f"{base(first)}restore/", {"opened": second.sha256}, follow=True)

    assert "restored from" in answer.content.decode()
    path = storage.path(folder) / NAME
    assert path.read_text() == "one\n"
    assert path.stat().st_mode & 0o777 == 0o750
    newest = versions.history(folder, NAME)[0]
    assert (newest.source, newest.author_name) == ("restore", "alice")
    entry = AuditEntry.objects.latest("pk")
    assert (entry.name, entry.label) == ("alice", f"alice/{NAME}")


def test_a_deleted_file_is_restored(folder: Folder, alice: Client) -> None:
    first = saved(folder, "#!/bin/sh\n")
    (storage.path(folder) / NAME).unlink()
    versions.look(folder)

    alice.post(f"{base(first)}restore/", {"opened": ""})

    assert (storage.path(folder) / NAME).read_text() == "#!/bin/sh\n"


def test_a_file_that_changed_meanwhile_is_not_overwritten(folder: Folder, alice: Client) -> None:
    first = saved(folder, "one\n")
    opened = saved(folder, "two\n").sha256
    (storage.path(folder) / NAME).write_text("three\n")

    answer = alice.post(f"{base(first)}restore/", {"opened": opened})

    assert "has changed since" in answer.content.decode()
    assert (storage.path(folder) / NAME).read_text() == "three\n"
    assert ScriptVersion.objects.count() == 2


def test_a_run_shows_the_exact_text_and_the_difference_to_now(
    folder: Folder, alice: Client
) -> None:
    run = ran(folder, saved(folder, "one\n"))
    path = f"/runs/{run.pk}/scripts/before/1/"
    assert path in seen(alice, f"/runs/{run.pk}/").links
    assert "the file is the same now" in seen(alice, path).text

    saved(folder, "another\n")

    found = seen(alice, path)
    assert "exactly this text" in found.text
    assert "Difference to the file as it is now" in found.text
    assert "another" in found.text


@pytest.mark.parametrize(
    ("doubt", "sentence"), [("changed", "another one may have run"), ("lost", "was lost")]
)
def test_a_run_that_cannot_know_its_text_says_so(
    folder: Folder, alice: Client, doubt: str, sentence: str
) -> None:
    run = ran(folder, saved(folder, "one\n"), script_doubt=doubt)

    found = seen(alice, f"/runs/{run.pk}/scripts/before/1/")

    assert sentence in found.text
    assert "exactly" not in found.text
    assert "not certain" in seen(alice, f"/runs/{run.pk}/").text


def test_who_sees_the_run_and_not_the_folder_sees_no_text(folder: Folder) -> None:
    other = folders.of(factories.charlie())
    version = versions.keep(other, NAME, b"secret\n", author=factories.charlie(), source="page")
    run = ran(folder, version)

    assert (
        page.client_of(factories.alice()).get(f"/runs/{run.pk}/scripts/before/1/").status_code
        == 404
    )


def test_a_run_from_before_the_versions_has_no_text(folder: Folder, alice: Client) -> None:
    run = ran(folder, None)

    assert alice.get(f"/runs/{run.pk}/scripts/before/1/").status_code == 404
    assert f"/runs/{run.pk}/scripts/before/1/" not in seen(alice, f"/runs/{run.pk}/").links


def test_the_comparison_says_when_texts_differ(folder: Folder) -> None:
    good = ran(folder, saved(folder, "one\n"))
    same, other = ran(folder, saved(folder, "one\n")), ran(folder, saved(folder, "two\n"))
    doubtful = ran(folder, saved(folder, "three\n"), script_doubt="lost")

    def differs(run: Run) -> bool:
        whole = {each.pk: each for each in runs.whole()}
        rows = run_page.side_by_side(whole[run.pk], whole[good.pk])
        return next(row.differs for row in rows if row.label == "before: text")

    assert [differs(each) for each in (same, other, doubtful)] == [False, True, False]
    assert PhaseResult.objects.count() == 4
