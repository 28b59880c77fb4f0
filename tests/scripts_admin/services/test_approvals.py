"""The second pair of eyes: who may approve what, and which text is the approved one."""

from pathlib import Path

import pytest
from django.conf import settings

from scripts_admin import linux_accounts, permissions
from scripts_admin.domain import texts
from scripts_admin.domain.phases import Phase
from scripts_admin.domain.rights import Right
from scripts_admin.folders import storage
from scripts_admin.models import AuditEntry, Folder, ScriptApproval, ScriptVersion, User
from scripts_admin.services import approvals, folders, restoring, scripts, versions
from scripts_admin.services.approvals import NotApprovedError
from scripts_admin.services.scripts import Copy, Text
from tests import factories

pytestmark = pytest.mark.django_db
NAME = "before_p.sh"
OLD, NEW = b"#!/bin/sh\necho old\n", b"#!/bin/sh\necho new\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Give Alice's folder, which Bob may use, with a script that is approved as it is."""
    monkeypatch.setattr(settings, "N2W_SCRIPTS_ROOT", tmp_path / "scripts")
    monkeypatch.setattr(linux_accounts, "name_of", lambda _: "alice")
    made = folders.of(factories.alice())
    storage.create(made)
    permissions.grant(factories.bob(), made, [Right.EDIT])
    put(made, OLD)
    approvals.switch(made, on=True, actor=factories.alice())
    return made


def put(folder: Folder, content: bytes, name: str = NAME) -> Path:
    path = storage.path(folder) / name
    path.write_bytes(content)
    return path


def changed(
    folder: Folder, content: bytes | None = NEW, author: User | None = None
) -> ScriptVersion:
    if content is None:
        (storage.path(folder) / NAME).unlink()
    else:
        put(folder, content)
    return versions.keep(folder, NAME, content, author=author or factories.alice(), source="page")


def runs(folder: Folder) -> list[bytes | None]:
    found, _ = approvals.of_phase(folder, Phase.BEFORE, "p")
    return [versions.content(each) for each in found]


def waits(folder: Folder) -> list[str]:
    return [each.version.name for each in approvals.pending(folder)]


def refused(version: ScriptVersion, person: User) -> str:
    before = list(ScriptApproval.objects.values())
    with pytest.raises(NotApprovedError) as caught:
        approvals.approve(version, actor=person)
    assert list(ScriptApproval.objects.values()) == before
    return str(caught.value)


def test_what_is_there_at_the_beginning_is_approved_by_who_began(folder: Folder) -> None:
    assert runs(folder) == [OLD]
    assert waits(folder) == []
    entry = AuditEntry.objects.latest("pk")
    assert (entry.name, entry.label) == ("alice", "alice")
    assert entry.changes == [["second pair of eyes", "no", "yes"]]


def test_a_change_waits_and_the_approved_text_goes_on_running(folder: Folder) -> None:
    changed(folder)

    assert waits(folder) == [NAME]
    assert runs(folder) == [OLD]


def test_another_person_approves_it_and_it_is_audited(folder: Folder) -> None:
    version = changed(folder)

    approvals.approve(version, actor=factories.bob(), message="well done")

    assert runs(folder) == [NEW]
    assert waits(folder) == []
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.name, entry.label, entry.reason) == (
        "approved",
        "bob",
        f"alice/{NAME}",
        "well done",
    )


def test_the_author_cannot_approve_their_own_however_it_came_in(folder: Folder) -> None:
    version = changed(folder)
    assert "is yours" in refused(version, factories.alice())

    put(folder, NEW + b"# over SSH\n")
    (found,) = versions.look(folder)
    assert "is yours" in refused(found, factories.alice())
    approvals.approve(found, actor=factories.bob())


def test_who_once_wrote_the_same_text_is_its_author(folder: Folder) -> None:
    changed(folder, NEW, factories.bob())
    changed(folder, NEW + b"# more\n", factories.alice())
    again = changed(folder, NEW, factories.alice())

    assert "is yours" in refused(again, factories.bob())


def test_who_makes_a_text_executable_does_not_take_its_authors_place(folder: Folder) -> None:
    """Whether the text was seen before or not: it was written over SSH, by the Linux account of Alice."""
    for is_seen, content in ((True, NEW), (False, NEW + b"# more\n")):
        put(folder, content)
        if is_seen:
            versions.look(folder)
        same = Text(NAME, content, texts.digest(content), executable=True)
        scripts.save(folder, same, actor=factories.bob())
        seen = versions.history(folder, NAME)[0]
        restoring.restore(seen, opened=seen.sha256, actor=factories.bob())

        (one,) = approvals.pending(folder)
        assert "is yours" in refused(one.version, factories.alice())


def test_a_name_that_somebody_else_gave_makes_a_text_no_others(folder: Folder) -> None:
    for word, deed in (("renamed", _rename), ("copied", _copy), ("brought back", _bring_back)):
        content = f"#!/bin/sh\necho {word}\n".encode()
        put(folder, content, f"{word.split()[0]}.txt")
        deed(folder, f"{word.split()[0]}.txt", texts.digest(content))

    waiting = approvals.pending(folder)
    assert len(waiting) == 3
    for one in waiting:
        assert "is yours" in refused(one.version, factories.alice())
        assert "is yours" in refused(one.version, factories.bob())


def _rename(folder: Folder, name: str, opened: str) -> None:
    scripts.rename(folder, name, "before_r.sh", opened=opened, actor=factories.bob())


def _copy(folder: Folder, name: str, opened: str) -> None:
    wanted = Copy(name, opened, folder, "before_c.sh")
    scripts.copy(folder, wanted, actor=factories.bob())


def _bring_back(folder: Folder, name: str, opened: str) -> None:
    hidden = scripts.delete(folder, name, opened=opened, actor=factories.bob())
    back = scripts.undelete(folder, hidden, actor=factories.bob())
    scripts.rename(folder, back, "before_b.sh", opened=opened, actor=factories.bob())


def test_what_nobody_known_wrote_counts_as_the_owners(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linux_accounts, "name_of", lambda _: "root")
    put(folder, NEW)
    (version,) = versions.look(folder)

    assert "is yours" in refused(version, factories.alice())
    approvals.approve(version, actor=factories.bob())


def test_what_was_written_over_ssh_in_roots_folder_may_be_any_superusers(
    monkeypatch: pytest.MonkeyPatch, folder: Folder
) -> None:
    """They share its account, so nobody knows who of them it was."""
    monkeypatch.setattr(linux_accounts, "name_of", lambda _: "cpmuser")
    root, carol = folders.root(), factories.UserFactory.create(username="carol", is_superuser=True)
    permissions.grant(factories.bob(), root, [Right.EDIT])
    approvals.switch(root, on=True, actor=carol)
    put(root, NEW)
    (version,) = versions.look(root)

    assert "Nobody knows which superuser" in refused(version, carol)
    approvals.approve(version, actor=factories.bob())


def test_a_stranger_cannot_approve(folder: Folder) -> None:
    assert "may not change" in refused(changed(folder), factories.charlie())


def test_an_approval_is_for_one_text(folder: Folder) -> None:
    version = changed(folder)
    changed(folder, NEW + b"# one more line\n")

    assert "changed again since" in refused(version, factories.bob())
    assert runs(folder) == [OLD]


def test_an_approval_is_for_one_file(folder: Folder) -> None:
    """The text that freezes is not approved as the one that thaws."""
    put(folder, OLD, "after_p.sh")
    versions.look(folder)

    assert waits(folder) == ["after_p.sh"]
    assert approvals.of_phase(folder, Phase.AFTER, "p")[0] == []


def test_a_deletion_waits_like_any_other_change(folder: Folder) -> None:
    version = changed(folder, None)

    assert waits(folder) == [NAME]
    assert runs(folder) == [OLD]
    approvals.approve(version, actor=factories.bob())
    assert runs(folder) == []
    assert waits(folder) == []


def test_another_name_for_the_same_phase_does_not_get_in(folder: Folder) -> None:
    (storage.path(folder) / NAME).rename(storage.path(folder) / "before_p.bash")
    versions.look(folder)

    assert waits(folder) == ["before_p.bash", NAME]
    assert runs(folder) == [OLD]


def test_a_text_that_was_approved_before_needs_nobody(folder: Folder) -> None:
    approvals.approve(changed(folder), actor=factories.bob())
    changed(folder, OLD)

    approvals.look(folder)

    assert waits(folder) == []
    assert runs(folder) == [OLD]


def test_blanks_and_line_ends_need_nobody(folder: Folder) -> None:
    spaced = OLD.replace(b"old", b"old  ")
    changed(folder, spaced)
    approvals.look(folder)
    assert waits(folder) == []
    assert runs(folder) == [spaced]

    changed(folder, OLD.replace(b"\n", b"\r\n"))
    approvals.look(folder)
    assert waits(folder) == []
    assert runs(folder) == [spaced]  # with CRLF it would not run at all


def test_crlf_that_is_mended_runs_at_once(folder: Folder) -> None:
    approvals.approve(changed(folder, NEW.replace(b"\n", b"\r\n")), actor=factories.bob())
    changed(folder, NEW)

    approvals.look(folder)

    assert runs(folder) == [NEW]


def test_helpers_run_as_they_are(folder: Folder) -> None:
    put(folder, b"echo helper\n", "helper.sh")
    versions.look(folder)

    assert waits(folder) == []


def test_switched_off_nothing_waits_and_the_next_beginning_is_a_new_one(folder: Folder) -> None:
    changed(folder)
    approvals.switch(folder, on=False, actor=factories.alice())
    assert waits(folder) == []
    assert "asks for no approval" in refused(versions.newest(folder)[0], factories.bob())

    approvals.switch(folder, on=True, actor=factories.alice())

    assert runs(folder) == [NEW]
    changed(folder, OLD)
    approvals.look(folder)
    assert waits(folder) == [NAME]  # what was approved before the beginning counts no more


def test_a_script_keeps_its_approval_when_its_policy_is_renamed(folder: Folder) -> None:
    (storage.path(folder) / NAME).rename(storage.path(folder) / "before_q.sh")
    versions.look(folder)

    approvals.moved(folder, NAME, "before_q.sh")

    assert waits(folder) == []
    assert [each.name for each in approvals.of_phase(folder, Phase.BEFORE, "q")[0]] == [
        "before_q.sh"
    ]
    assert approvals.of_phase(folder, Phase.BEFORE, "p") == ([], [])


def test_renaming_a_policy_on_its_page_takes_the_approval_along(folder: Folder) -> None:
    with scripts.renamed_with_policy(folder, "p", "q", actor=factories.alice()):
        versions.look(folder)  # while each file has both names

    assert waits(folder) == []
    (found,) = approvals.of_phase(folder, Phase.BEFORE, "q")[0]
    assert versions.content(found) == OLD


def test_a_script_of_another_phase_does_not_take_an_approval_along(folder: Folder) -> None:
    (storage.path(folder) / NAME).rename(storage.path(folder) / "after_p.sh")
    versions.look(folder)

    approvals.moved(folder, NAME, "after_p.sh")

    assert approvals.of_phase(folder, Phase.AFTER, "p")[0] == []
