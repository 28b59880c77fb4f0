"""A file in the browser: shown, edited, renamed, copied, deleted; two who edit it lose neither text."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from scripts_admin.domain import texts
from scripts_admin.models import User
from scripts_admin.services import folders
from tests import factories
from tests.policies.views.page import Page, Sent, check_can_be_read_aloud, client_of, read

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
TEXT = "#!/bin/bash\necho one\n"
VERSION = texts.digest(TEXT.encode())
FILE = "/scripts/alice/files/before_shop.sh/"
EVIL = '"><svg onload=alert(1)>'
KEY = f"{'-' * 5}BEGIN OPENSSH PRIVATE KEY{'-' * 5}\n{'A' * 64}\n"


@pytest.fixture
def script(place: Path) -> Path:
    path = place / "before_shop.sh"
    path.write_text(TEXT)
    path.chmod(0o750)
    return path


def edit(client: Client, text: str, **more: str) -> Page:
    """Open the editor, type the text as a browser sends it, and save."""
    form = Sent(client.get(f"{FILE}edit/").content.decode()).values
    sent = form | {"text": text.replace("\n", "\r\n")} | more
    return Page(client.post(f"{FILE}edit/", sent, follow=True).content.decode())


def test_what_a_browser_saves_has_the_line_ends_of_its_file_and_its_mode(
    client: Client, script: Path
) -> None:
    page = edit(client, "#!/bin/bash\necho two\n")

    assert "before_shop.sh is saved." in page.text
    assert "echo two" in page.text
    assert script.read_bytes() == b"#!/bin/bash\necho two\n"
    assert script.stat().st_mode & 0o777 == 0o750


def test_a_text_that_is_opened_and_saved_stays_the_same_byte_by_byte(
    client: Client, script: Path
) -> None:
    for content in (
        "\n\n#!/bin/sh\n",
        "no newline at the end",
        "tab\there é \x01\n",
        "",
        "<&\">'\n",
    ):
        script.write_bytes(content.encode())
        form = Sent(client.get(f"{FILE}edit/").content.decode()).values
        client.post(f"{FILE}edit/", form | {"text": str(form["text"]).replace("\n", "\r\n")})
        assert script.read_bytes() == content.encode()


@pytest.mark.parametrize(
    ("content", "kept"), [("#!/bin/sh\r\na\r\n", False), ("helper\r\na\r\n", True)]
)
def test_windows_line_ends_go_from_scripts_unless_somebody_keeps_them(
    client: Client, script: Path, content: str, kept: bool
) -> None:
    script.write_bytes(content.encode())
    form = Sent(client.get(f"{FILE}edit/").content.decode()).values

    client.post(f"{FILE}edit/", form)

    expected = content if kept else content.replace("\r\n", "\n")
    assert script.read_bytes() == expected.encode()


def test_who_comes_second_sees_both_texts_and_decides(client: Client, script: Path) -> None:
    mine = Sent(client.get(f"{FILE}edit/").content.decode()).values
    script.write_text("#!/bin/bash\necho theirs\n")

    answer = client.post(f"{FILE}edit/", mine | {"text": "#!/bin/bash\r\necho mine\r\n"})

    assert answer.status_code == 409
    page = Page(answer.content.decode())
    assert "before_shop.sh has changed since you opened it. Nothing was saved." in page.text
    assert "+echo mine" in page.text
    assert "-echo theirs" in page.text
    assert script.read_text() == "#!/bin/bash\necho theirs\n"
    again = Sent(answer.content.decode()).values
    assert "echo mine" in str(again["text"])
    assert client.post(f"{FILE}edit/", again).status_code == 302
    assert script.read_text() == "#!/bin/bash\necho mine\n"


def test_a_file_that_was_deleted_meanwhile_can_be_made_again_with_ones_own_text(
    client: Client, script: Path
) -> None:
    mine = Sent(client.get(f"{FILE}edit/").content.decode()).values
    script.unlink()

    answer = client.post(f"{FILE}edit/", mine | {"text": "#!/bin/sh\r\n"})
    assert answer.status_code == 409
    assert "is gone since you opened it" in answer.content.decode()
    assert not script.exists()

    assert client.post(f"{FILE}edit/", Sent(answer.content.decode()).values).status_code == 302
    assert script.read_text() == "#!/bin/sh\n"


def test_a_file_that_became_a_link_meanwhile_is_not_followed(
    client: Client, script: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("top secret")
    mine = Sent(client.get(f"{FILE}edit/").content.decode()).values
    script.unlink()
    script.symlink_to(secret)

    answer = client.post(f"{FILE}edit/", mine | {"text": "mine"})

    assert answer.status_code == 409
    assert "top secret" not in answer.content.decode()
    assert "is a link" in answer.content.decode()
    assert client.post(f"{FILE}edit/", Sent(answer.content.decode()).values).status_code == 200
    assert secret.read_text() == "top secret"
    assert script.is_symlink()


def _key(path: Path) -> None:
    path.write_text(KEY)


def _binary(path: Path) -> None:
    path.write_bytes(b"\x7fELF\0secret-bytes")


def _outside(path: Path) -> None:
    path.symlink_to(path.parent.parent.parent / "secret")


def _giant(path: Path) -> None:
    path.write_text(TEXT)
    os.truncate(path, 2 * 1024**3)


@pytest.mark.parametrize("make", [_key, _binary, _outside, os.mkfifo, _giant, Path.mkdir])
def test_what_is_no_text_is_named_and_never_shown_or_sent(
    client: Client, place: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (tmp_path / "secret").write_text("top secret")
    make(place / "before_shop.sh")

    listing, page = read(client, "/scripts/alice/"), read(client, FILE)

    assert "before_shop.sh" in listing.text
    for shown in (listing.text, page.text):
        assert "AAAA" not in shown
        assert "top secret" not in shown
        assert "secret-bytes" not in shown
    assert f"{FILE}edit/" not in page.links
    assert client.get(f"{FILE}edit/").status_code == 302
    assert client.get(f"{FILE}download/").status_code == 404
    answer = client.post(f"{FILE}copy/", {"name": "x", "policy": "", "opened": "any"})
    assert answer.status_code == 200
    assert [path.name for path in place.iterdir()] == ["before_shop.sh"]


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fsecret", "%00", "a%0ab", "x" * 300, "%ff"]
)
def test_no_address_leads_out_of_the_folder(client: Client, place: Path, name: str) -> None:
    (place.parent.parent / "secret").write_text("top secret")
    for page in ("", "edit/", "rename/", "copy/", "delete/", "download/"):
        answer = client.get(f"/scripts/alice/files/{name}/{page}")
        assert answer.status_code in {400, 404}
        assert b"top secret" not in answer.content


def test_in_roots_folder_no_users_folder_is_a_file(client: Client, place: Path) -> None:
    boss = factories.UserFactory.create(username="boss", is_superuser=True)
    (place.parent / "before_x.sh").write_text(TEXT)
    folders.root()
    page = read(client_of(boss), "/scripts/root/")

    assert "before_x.sh" in page.text
    assert "/scripts/root/files/alice/" not in page.links
    assert client_of(boss).post("/scripts/root/files/alice/delete/", {}).status_code == 200
    assert place.is_dir()


def test_a_new_script_can_run_at_once_and_a_taken_name_is_said(client: Client, place: Path) -> None:
    page = client.get("/scripts/alice/new/?name=after_shop.sh").content.decode()
    form = Sent(page).values

    assert form["name"] == "after_shop.sh"
    assert str(form["text"]).startswith("#!/bin/bash")
    assert client.post("/scripts/alice/new/", form).status_code == 302
    assert (place / "after_shop.sh").stat().st_mode & 0o100
    assert (
        "There is a file after_shop.sh already"
        in client.post("/scripts/alice/new/", form).content.decode()
    )
    assert (
        "has no slash"
        in client.post("/scripts/alice/new/", form | {"name": "../x"}).content.decode()
    )
    assert (
        "private key"
        in client.post("/scripts/alice/new/", form | {"name": "k", "text": KEY}).content.decode()
    )
    assert [path.name for path in place.iterdir()] == ["after_shop.sh"]


def test_a_deleted_file_is_brought_back_on_the_folders_page(client: Client, script: Path) -> None:
    form = Sent(client.get(f"{FILE}delete/").content.decode()).values
    answer = client.post(f"{FILE}delete/", form, follow=True)

    page = Page(answer.content.decode())
    assert "before_shop.sh is deleted. For 30 days it can be brought back" in page.text
    assert not script.exists()
    undo = Sent(answer.content.decode()).values
    assert (
        "before_shop.sh is back."
        in Page(client.post("/scripts/alice/undo/", undo, follow=True).content.decode()).text
    )
    assert script.read_text() == TEXT


def test_a_file_is_renamed_and_copied_to_another_policy(
    client: Client, alice: User, script: Path
) -> None:
    factories.PolicyFactory.create(owner=alice, name="blog")
    form = Sent(client.get(f"{FILE}copy/").content.decode()).values
    choice = next(
        attrs["value"]
        for tag, attrs in read(client, f"{FILE}copy/").tags
        if tag == "option" and str(attrs.get("value")).endswith("/blog")
    )
    assert client.post(f"{FILE}copy/", form | {"policy": choice}).status_code == 302
    form = Sent(client.get(f"{FILE}rename/").content.decode()).values
    answer = client.post(f"{FILE}rename/", form | {"name": "before_shop.v2.sh"})

    assert answer["Location"] == "/scripts/alice/files/before_shop.v2.sh/"
    names = sorted(path.name for path in script.parent.iterdir())
    assert names == ["before_blog.sh", "before_shop.v2.sh"]


def test_a_deed_on_a_version_that_nobody_saw_is_refused(client: Client, script: Path) -> None:
    for page, more in (("delete", {}), ("rename", {"name": "x.sh"}), ("copy", {"name": "x.sh"})):
        answer = client.post(f"{FILE}{page}/", {"opened": "older", **more})
        assert "has changed since you opened it" in answer.content.decode()
    assert [path.name for path in script.parent.iterdir()] == ["before_shop.sh"]


def test_a_download_is_the_file_itself_and_never_a_page(client: Client, place: Path) -> None:
    (place / 'a"é.sh').write_text("<svg onload=alert(1)>")

    answer = client.get("/scripts/alice/files/a%22%C3%A9.sh/download/")

    assert answer.content == b"<svg onload=alert(1)>"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == 'attachment; filename="a__.sh"'
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_evil_names_and_texts_are_only_shown(client: Client, place: Path) -> None:
    name = EVIL.replace("/", "")
    (place / name).write_text(f"</textarea>{EVIL}\u202e\n")
    (place / f"before_{name}.sh").symlink_to(EVIL.replace("/", ""))
    (place / "x\ny\x1b[31m").write_text("")
    (place / os.fsdecode(b"caf\xe9")).write_text("")
    address = (
        f"/scripts/alice/files/{name.replace('>', '%3E').replace('<', '%3C').replace(' ', '%20')}/"
    )

    for path in (
        "/scripts/alice/",
        address,
        *(f"{address}{page}/" for page in ("edit", "rename", "copy", "delete")),
    ):
        page = read(client, path)
        assert "svg onload" in page.text or "svg onload" in str(page.tags)
        assert not [tag for tag, attrs in page.tags if "onload" in attrs]
    assert "\u202e" not in read(client, address).text
    assert "\x1b" not in client.get("/scripts/alice/").content.decode()


def test_the_pages_can_be_read_aloud(client: Client, script: Path) -> None:
    check_can_be_read_aloud(read(client, "/scripts/"))
    check_can_be_read_aloud(read(client, "/scripts/alice/"))
    check_can_be_read_aloud(read(client, "/scripts/alice/recipes/"))


def test_a_stranger_finds_no_folder_and_a_friend_finds_it(script: Path, alice: User) -> None:
    charlie, bob = client_of(factories.charlie()), client_of(factories.bob())

    assert charlie.get("/scripts/alice/").status_code == 404
    assert charlie.get(FILE).status_code == 404
    assert "/scripts/alice/" not in read(charlie, "/scripts/").links
    assert "/scripts/alice/" in read(bob, "/scripts/").links
    assert "echo one" in read(bob, FILE).text


def test_what_was_typed_when_a_session_ended_is_there_after_the_login(
    client: Client, alice: User, script: Path
) -> None:
    form = Sent(client.get(f"{FILE}edit/").content.decode()).values
    client.logout()

    sent_away = client.post(f"{FILE}edit/", form | {"text": "#!/bin/sh\r\n# an hour of work\r\n"})
    assert sent_away.status_code == 302
    assert script.read_text() == TEXT
    client.force_login(alice)
    back = client.get(parse_qs(urlsplit(sent_away["Location"]).query)["next"][0])

    again = Sent(back.content.decode()).values
    assert "# an hour of work" in str(again["text"])
    assert client.post(f"{FILE}edit/", again).status_code == 302
    assert script.read_text() == "#!/bin/sh\n# an hour of work\n"
