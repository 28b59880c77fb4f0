"""The second pair of eyes on pages: what waits, what a reviewer sees, and who may switch it."""

from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from n2wbackup.lib import clock
from scripts_admin import linux_accounts, permissions
from scripts_admin.domain.rights import Right
from scripts_admin.folders import storage
from scripts_admin.models import Folder, ScriptApproval, ScriptVersion
from scripts_admin.services import approvals, folders, versions
from tests import factories
from tests.policies.views import page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
NAME = "before_nightly.sh"
EVIL = '"><svg onload=alert(1)>'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Give Alice's folder, which Bob may use, with a script that is approved as it is."""
    monkeypatch.setattr(settings, "N2W_SCRIPTS_ROOT", tmp_path / "scripts")
    monkeypatch.setattr(linux_accounts, "name_of", lambda _: "alice")
    made = folders.of(factories.alice())
    storage.create(made)
    permissions.grant(factories.bob(), made, [Right.EDIT])
    put(made, "#!/bin/sh\necho one\n")
    approvals.switch(made, on=True, actor=factories.alice())
    return made


@pytest.fixture
def alice() -> Client:
    return page.client_of(factories.alice())


@pytest.fixture
def bob() -> Client:
    return page.client_of(factories.bob())


def put(folder: Folder, text: str, message: str = "") -> ScriptVersion:
    (storage.path(folder) / NAME).write_text(text)
    return versions.keep(
        folder, NAME, text.encode(), author=factories.alice(), source="page", message=message
    )


def address(version: ScriptVersion) -> str:
    return f"/scripts/alice/files/{version.name}/versions/{version.pk}/review/"


def test_what_waits_is_listed_with_the_way_to_its_review(folder: Folder, bob: Client) -> None:
    assert "Nothing waits" in page.read(bob, "/scripts/alice/reviews/").text
    version = put(folder, "#!/bin/sh\necho two\n", "quicker")

    found = page.read(bob, "/scripts/alice/reviews/")

    assert "quicker" in found.text
    assert address(version) in found.links


def test_the_reviewer_sees_difference_lint_and_last_test_and_approves(
    folder: Folder, bob: Client
) -> None:
    version = put(folder, "#!/bin/sh\nsleep 60\necho two\n")
    policy = factories.PolicyFactory.create(owner=factories.bob(), folder=folder, name="nightly")
    run = factories.RunFactory.create(
        policy=policy, trigger="test", state="failed", ended_at=clock.now()
    )
    factories.result(
        run,
        "before",
        outcome="timed_out",
        script_sha256=version.sha256,
        script_version=version,
    )

    found = page.read(bob, address(version))

    assert "echo one" in found.text
    assert "echo two" in found.text
    assert "sleep" in found.text.split("Difference")[0]
    assert f"/runs/{run.pk}/" in found.links
    answer = bob.post(address(version), {"message": "well done"}, follow=True)
    assert "is approved" in answer.content.decode()
    newest = ScriptApproval.objects.get(name=NAME, is_newest=True)
    assert (newest.version, newest.person_name, newest.message) == (version, "bob", "well done")


def test_the_author_sees_the_review_and_cannot_approve(folder: Folder, alice: Client) -> None:
    version = put(folder, "#!/bin/sh\necho two\n")
    before = ScriptApproval.objects.count()

    found = page.read(alice, address(version))
    answer = alice.post(address(version))

    assert "another person has to approve it" in found.text
    assert "Approve it" not in found.text
    assert "another person has to approve it" in answer.content.decode()
    assert ScriptApproval.objects.count() == before


def test_a_text_that_has_changed_since_is_not_approved(folder: Folder, bob: Client) -> None:
    version = put(folder, "#!/bin/sh\necho two\n")
    put(folder, "#!/bin/sh\necho three\n")

    answer = bob.post(address(version))

    assert "changed again since" in answer.content.decode()
    assert not ScriptApproval.objects.filter(version=version).exists()


def test_only_who_may_share_the_folder_switches(folder: Folder, alice: Client, bob: Client) -> None:
    switch = "/scripts/alice/reviews/switch/"
    assert bob.post(switch, {"on": "no"}).status_code == 404
    assert Folder.objects.get(pk=folder.pk).needs_approval

    alice.post(switch, {"on": "no"})
    assert not Folder.objects.get(pk=folder.pk).needs_approval
    assert NAME in page.read(alice, switch).text
    alice.post(switch, {"on": "yes"})
    assert Folder.objects.get(pk=folder.pk).needs_approval


def test_changes_over_ssh_are_looked_for_at_once(folder: Folder, bob: Client) -> None:
    (storage.path(folder) / NAME).write_text("#!/bin/sh\necho over SSH\n")

    answer = bob.post("/scripts/alice/reviews/look/", follow=True)

    assert "over SSH" in answer.content.decode()
    assert len(approvals.pending(folder)) == 1


def test_what_others_wrote_is_shown_and_does_nothing(folder: Folder, bob: Client) -> None:
    version = put(folder, f"#!/bin/sh\necho '{EVIL}\u202e'\n", EVIL)

    for path in ("/scripts/alice/reviews/", address(version)):
        content = bob.get(path).content.decode()
        assert "<svg onload" not in content
        assert "\u202e" not in content


def test_who_may_only_see_the_folder_changes_nothing(folder: Folder) -> None:
    version = put(folder, "#!/bin/sh\necho two\n")
    permissions.grant(factories.charlie(), folder, [Right.VIEW])
    charlie = page.client_of(factories.charlie())

    assert "may not change" in page.read(charlie, address(version)).text
    assert "may not change" in charlie.post(address(version)).content.decode()
    assert charlie.post("/scripts/alice/reviews/look/").status_code == 404
    assert "Look for changes" not in page.read(charlie, "/scripts/alice/reviews/").text
    assert len(approvals.pending(folder)) == 1


def test_a_stranger_finds_nothing(folder: Folder) -> None:
    version = put(folder, "#!/bin/sh\necho two\n")
    charlie = page.client_of(factories.charlie())

    for path in ("/scripts/alice/reviews/", address(version)):
        assert charlie.get(path).status_code == 404
        assert charlie.post(path).status_code in {404, 405}
    assert charlie.post("/scripts/alice/reviews/look/").status_code == 404
    assert len(approvals.pending(folder)) == 1
