"""The pages of what is in a snapshot: for those who may restore, with names that others chose, and nothing else."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from n2wbackup.processes import budgets
from policies.adapters.folder_images import FolderImages
from policies.domain.browsing import paths
from policies.domain.browsing.states import State
from policies.models import OpenedSnapshot, RunSnapshot
from policies.services.browsing import asking, opening, using
from policies.views import sending
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.models import AuditEntry, User
from tests import factories
from tests.policies.services.browsing import opened
from tests.policies.services.browsing.opened import HTML, NOT_UTF_8, open_now
from tests.policies.views import logins, page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
PAGES = ("", "download/", "zip/", "copy/", "close/")
DB = "var/lib/ledger.db"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, settings: Settings) -> None:
    settings.N2W_HOME = tmp_path / "home"
    settings.N2W_HOME.mkdir()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return opened.disk(tmp_path)


@pytest.fixture
def images(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FolderImages]:
    with opened.images(disk, monkeypatch) as made:
        yield made


@pytest.fixture
def row(db: None, images: FolderImages) -> OpenedSnapshot:
    return open_now(opened.snapshot())


@pytest.fixture
def alice(row: OpenedSnapshot) -> Client:
    return logins.confirm(page.client_of(factories.alice()))


def at(row: OpenedSnapshot, path: bytes | str = b"", of: str = "", **more: str) -> str:
    token = path if isinstance(path, str) else paths.token(path)
    rest = "".join(f"&{name}={value}" for name, value in more.items())
    return f"/files/{row.pk}/{of}?at={token}{rest}"


def got(client: Client, path: str) -> bytes:
    answer = client.get(path)
    assert answer.status_code == 200, answer.get("Location", "")
    return b"".join(answer.streaming_content)  # type: ignore[attr-defined] # a download


def viewer(row: OpenedSnapshot, *rights: Right) -> Client:
    """Return a client of Bob, who has these rights on Alice's policy."""
    bob = factories.bob()
    policy = row.run.policy
    assert policy is not None
    permissions.grant(bob, policy, rights)
    return logins.confirm(page.client_of(bob))


def test_a_snapshot_is_opened_from_the_page_of_its_run(images: FolderImages) -> None:
    snapshot = opened.snapshot()
    client = logins.confirm(page.client_of(factories.alice()))
    address = f"/snapshots/{snapshot.snapshot_id}/files/"
    for place in (f"/runs/{snapshot.target.run_id}/", "/snapshots/"):
        assert address in page.read(client, place).links

    answer = client.post(address)

    row = OpenedSnapshot.objects.get()
    assert answer["Location"] == f"/files/{row.pk}/"
    waiting = page.read(client, f"/files/{row.pk}/")
    assert "is being opened" in waiting.text
    assert waiting.polled == [f"/files/{row.pk}/"]
    opening.work(row.pk)
    part = client.get(f"/files/{row.pk}/", headers={"HX-Request": "true"})
    assert part["HX-Redirect"] == f"/files/{row.pk}/"
    assert page.read(client, address).links.count(f"/files/{row.pk}/") == 1


def test_a_folder_shows_its_names_sizes_times_modes_and_links(
    alice: Client, row: OpenedSnapshot
) -> None:
    shown = page.read(alice, at(row, b"var/lib"))

    for words in (
        "ledger.db",
        "9.8\xa0KB",
        "-rwsr-sr-x",
        "/etc/shadow",
        "a device, pipe or socket",
    ):
        assert words in shown.text
    links = shown.links
    assert at(row, b"var") in links
    assert at(row, b"var/lib/ledger.db", "download/") in links
    assert at(row, b"var/lib/out", "download/") not in links
    assert at(row, b"var/lib/out") not in links
    assert "Nothing was under way" in shown.text


def test_a_journal_that_was_replayed_is_told(
    images: FolderImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.about.update(needs_recovery=True, replay_bytes=5 * 1024**2)
    row = open_now(opened.snapshot())
    client = page.client_of(factories.alice())

    text = " ".join(page.read(client, at(row)).text.split())

    assert "Writes were under way when the snapshot was made" in text
    assert "up to 5.0\xa0MB" in text or "up to 5.0 MB" in text


def test_a_file_is_downloaded_as_it_is_and_never_shown(alice: Client, row: OpenedSnapshot) -> None:
    answer = alice.get(at(row, DB, "download/"))

    assert b"".join(answer.streaming_content) == b"0123456789" * 1000  # type: ignore[attr-defined]
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Length"] == "10000"
    assert answer["Content-Disposition"].startswith('attachment; filename="ledger.db";')
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "no-store"
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.name) == ("downloaded files", "alice")
    assert ["path", "", "/var/lib/ledger.db"] in entry.changes


def test_a_download_that_was_cut_goes_on_where_it_ended(alice: Client, row: OpenedSnapshot) -> None:
    whole, address = b"0123456789" * 1000, at(row, DB, "download/")
    first = alice.get(address)
    assert (first["Accept-Ranges"], b"".join(first.streaming_content)) == ("bytes", whole)  # type: ignore[attr-defined]

    rest = alice.get(address, headers={"range": "bytes=9993-", "if-range": first["ETag"]})

    assert (rest.status_code, rest["Content-Range"]) == (206, "bytes 9993-9999/10000")
    assert (rest["Content-Length"], rest["ETag"]) == ("7", first["ETag"])
    assert b"".join(rest.streaming_content) == whole[9993:]  # type: ignore[attr-defined]
    assert ["as", "", "7 bytes"] in AuditEntry.objects.latest("pk").changes

    of_another = alice.get(address, headers={"range": "bytes=9993-", "if-range": '"other"'})
    assert (of_another.status_code, len(b"".join(of_another.streaming_content))) == (200, 10000)  # type: ignore[attr-defined]

    beyond = alice.get(address, headers={"range": "bytes=10000-"})
    assert (beyond.status_code, beyond["Content-Range"]) == (416, "bytes */10000")
    assert b"".join(beyond.streaming_content) == b""  # type: ignore[attr-defined]


def test_a_folder_comes_as_a_zip_that_leads_nowhere(alice: Client, row: OpenedSnapshot) -> None:
    whole = zipfile.ZipFile(io.BytesIO(got(alice, at(row, b"", "zip/"))))

    assert any(name.endswith("ledger.db") for name in whole.namelist())
    for one in whole.infolist():
        assert not one.filename.startswith("/")
        assert ".." not in one.filename.split("/")
        assert one.external_attr >> 16 & 0o7000 == 0
    assert not any(name.endswith(("out", "up")) for name in whole.namelist())
    assert AuditEntry.objects.latest("pk").action == "downloaded files"


@pytest.mark.parametrize("name", [HTML, NOT_UTF_8])
def test_a_hostile_name_is_shown_harmless_and_can_be_downloaded(
    alice: Client, row: OpenedSnapshot, name: bytes
) -> None:
    answer = alice.get(at(row))
    shown = page.Page(answer.text)

    assert "<svg onload" not in answer.text
    assert paths.shown(name) in shown.text
    (link,) = [each for each in shown.links if each == at(row, name, "download/")]
    assert got(alice, str(link)) == b"hostile"


def test_names_are_found_below_a_folder(alice: Client, row: OpenedSnapshot) -> None:
    found = page.read(alice, at(row, b"var", q="LEDGER"))

    assert "1 name with “LEDGER”" in " ".join(found.text.split())
    assert at(row, DB, "download/") in found.links
    assert at(row, b"var/lib") in found.links
    assert "No name is like that" in page.read(alice, at(row, b"etc", q="ledger")).text
    entry = AuditEntry.objects.filter(action="searched files").earliest("pk")
    assert ["words", "", "LEDGER"] in entry.changes


def test_a_huge_folder_is_shown_page_by_page(
    alice: Client, row: OpenedSnapshot, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(using, "ON_A_PAGE", 10)
    many = disk / "many"
    many.mkdir()
    for number in range(25):
        (many / f"file {number:03}").write_text("")

    names, address = [], at(row, b"many")
    for _ in range(3):
        shown = page.read(alice, address)
        names += [link for each in shown.links if "download" in (link := str(each))]
        address = next((str(each) for each in shown.links if "after=" in str(each)), "")

    assert names == [at(row, b"many/file %03d" % number, "download/") for number in range(25)]
    assert address == ""


@pytest.mark.parametrize("path", ["..", "etc/../etc", "nothing", "up/etc", "var//lib", "a~00"])
def test_a_path_that_leads_nowhere_is_not_found(
    alice: Client, row: OpenedSnapshot, path: str
) -> None:
    for of in ("", "download/", "zip/"):
        assert alice.get(at(row, path, of)).status_code == 404
    assert not AuditEntry.objects.filter(action="downloaded files").exists()


@pytest.mark.parametrize("path", ["var/lib/out", "var/lib/pipe", "var/lib", "up"])
def test_only_a_file_has_a_content(alice: Client, row: OpenedSnapshot, path: str) -> None:
    assert alice.get(at(row, path, "download/")).status_code == 404


def test_whoever_may_only_see_change_and_run_sees_no_files(row: OpenedSnapshot) -> None:
    bob = viewer(row, Right.VIEW, Right.EDIT, Right.RUN, Right.APPROVE_HOSTS)
    address = f"/snapshots/{row.snapshot.snapshot_id}/files/"

    assert address not in page.read(bob, f"/runs/{row.run_id}/").links
    assert address not in page.read(bob, "/snapshots/").links
    for one in (address, *(at(row, DB, of) for of in PAGES)):
        assert bob.get(one).status_code in {404, 405}
        assert bob.post(one).status_code in {404, 405}
    row.refresh_from_db()
    assert row.state == State.OPEN
    assert OpenedSnapshot.objects.count() == 1


def test_whoever_may_restore_sees_them(row: OpenedSnapshot) -> None:
    bob = viewer(row, Right.RESTORE)

    assert got(bob, at(row, DB, "download/")) == b"0123456789" * 1000
    assert AuditEntry.objects.latest("pk").name == "bob"


def test_for_a_stranger_nothing_of_it_exists(row: OpenedSnapshot) -> None:
    charlie = logins.confirm(page.client_of(factories.charlie()))

    for address in (
        f"/snapshots/{row.snapshot.snapshot_id}/files/",
        *(at(row, DB, of) for of in PAGES),
    ):
        assert charlie.get(address).status_code in {404, 405}
        assert charlie.post(address).status_code in {404, 405}
    row.refresh_from_db()
    assert (row.state, OpenedSnapshot.objects.count()) == (State.OPEN, 1)


def test_before_the_first_content_people_show_who_they_are(row: OpenedSnapshot) -> None:
    client = page.client_of(factories.alice())
    assert client.get(at(row)).status_code == 200

    answer = client.get(at(row, DB, "download/"))

    assert answer.status_code == 302
    assert answer["Location"].startswith("/profile/confirm/?next=%2Ffiles%2F")
    assert not AuditEntry.objects.filter(action="downloaded files").exists()
    logins.confirm(client)
    got(client, at(row, DB, "download/"))
    session = client.session
    session["account_authentication_methods"] = []
    session.save()
    got(client, at(row, b"etc/passwd", "download/"))  # one opened snapshot asks once
    other = open_now(opened.snapshot())
    assert client.get(at(other, DB, "download/")).status_code == 302


def test_a_download_gives_its_place_back_read_or_not(
    alice: Client, row: OpenedSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PLACES", sending.Places(2, 1))
    first = alice.get(at(row, DB, "download/"))

    refused = alice.get(at(row, DB, "download/"))

    assert refused.status_code == 429
    assert refused["Retry-After"] == "30"
    assert AuditEntry.objects.filter(action="downloaded files").count() == 1
    for close in first._resource_closers:  # type: ignore[attr-defined] # as the server does
        close()
    got(alice, at(row, DB, "download/"))
    got(alice, at(row, b"etc/passwd", "download/"))
    assert alice.get(at(row, "nothing", "download/")).status_code == 404
    got(alice, at(row, b"etc/passwd", "download/"))


def test_a_download_ends_some_day(
    alice: Client, row: OpenedSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "DOWNLOAD_SECONDS", -1.0)

    answer = alice.get(at(row, DB, "download/"))

    with pytest.raises(sending.TooLongError):
        list(answer.streaming_content)  # type: ignore[attr-defined]


def test_a_file_that_ends_before_its_size_is_no_whole_file() -> None:
    with pytest.raises(using.CutShortError):
        list(using.exactly(iter([b"12", b"3"]), 4))
    assert list(using.exactly(iter([b"12", b"345"]), 4)) == [b"12", b"34"]
    assert list(using.exactly(iter([]), 0)) == []


def test_what_is_closed_says_so_and_can_be_opened_again(alice: Client, row: OpenedSnapshot) -> None:
    answer = alice.post(f"/files/{row.pk}/close/")

    assert answer["Location"] == f"/runs/{row.run_id}/"
    shown = page.read(alice, at(row))
    assert "alice closed it" in shown.text
    assert f"/snapshots/{row.snapshot.snapshot_id}/files/" in shown.links
    assert shown.polled == []
    answer = alice.get(at(row, DB, "download/"))
    assert answer["Location"] == f"/files/{row.pk}/"


def test_dead_processes_are_told_in_a_sentence(
    alice: Client, row: OpenedSnapshot, images: FolderImages
) -> None:
    images.again(str(row.pk)).close()

    assert "open it once more" in page.read(alice, at(row)).text
    row.refresh_from_db()
    assert row.state == State.FAILED


def test_what_cannot_be_opened_says_why(images: FolderImages) -> None:
    images.missing = "nbdkit is missing: install it."
    row = open_now(opened.snapshot())
    client = page.client_of(factories.alice())

    assert "nbdkit is missing: install it." in page.read(client, at(row)).text


def test_a_snapshot_that_is_pending_says_why_it_has_no_files(images: FolderImages) -> None:
    snapshot = opened.snapshot(state=RunSnapshot.State.PENDING)
    client = page.client_of(factories.alice())

    shown = page.read(client, f"/snapshots/{snapshot.snapshot_id}/files/")

    assert "is pending" in shown.text
    assert client.post(f"/snapshots/{snapshot.snapshot_id}/files/").status_code == 302
    assert not OpenedSnapshot.objects.exists()


def test_a_superuser_sees_the_files_of_everyone(row: OpenedSnapshot) -> None:
    boss = User.objects.create(username="boss", is_superuser=True)

    assert "ledger.db" in page.read(page.client_of(boss), at(row, b"var/lib")).text


def test_another_part_of_the_disk_is_opened_beside(alice: Client, row: OpenedSnapshot) -> None:
    answer = alice.post(f"/snapshots/{row.snapshot.snapshot_id}/files/", {"part": "2"})

    other = OpenedSnapshot.objects.get(part=2)
    assert answer["Location"] == f"/files/{other.pk}/"
    assert asking.ask(row.snapshot, by="alice") == row
