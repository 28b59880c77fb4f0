"""What lint says about a file stands on its page, and one click mends its mode."""

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from scripts_admin.models import AuditEntry
from tests import factories
from tests.policies.views.page import Page, Sent, client_of

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
FILE = "/scripts/alice/files/before_shop.sh/"
MEND = f"{FILE}executable/"


@pytest.fixture
def script(place: Path) -> Path:
    path = place / "before_shop.sh"
    path.write_text("#!/bin/bash\nmysql -psecret -e 'flush tables with read lock'\n")
    path.chmod(0o750)
    return path


def test_the_page_of_a_file_says_what_is_wrong_with_it(client: Client, script: Path) -> None:
    page = Page(client.get(FILE).content.decode()).text

    assert "What lint says" in page
    assert "this lock ends with its client" in page
    assert "gives mysql a password on its command line" in page
    assert "Make it executable" not in page


def test_what_was_saved_is_shown_with_its_remarks(client: Client, script: Path) -> None:
    form = Sent(client.get(f"{FILE}edit/").content.decode()).values
    sent = form | {"text": "#!/bin/bash\nif [$? -gt 0[; then exit 1; fi\n"}

    page = Page(client.post(f"{FILE}edit/", sent, follow=True).content.decode()).text

    assert "before_shop.sh is saved." in page
    assert "there is no blank behind the [ of [$?" in page


def test_one_click_makes_a_script_executable(client: Client, script: Path) -> None:
    script.chmod(0o640)
    page = client.get(FILE).content.decode()
    assert "before_shop.sh is not executable for anybody" in page

    answer = client.post(MEND, {"opened": Sent(page).values["opened"]}, follow=True)

    assert "before_shop.sh is executable now." in answer.text
    assert script.stat().st_mode & 0o777 == 0o750
    assert "Make it executable" not in answer.text
    assert AuditEntry.objects.filter(label__contains="before_shop.sh").exists()


def test_a_file_that_has_changed_since_is_left_alone(client: Client, script: Path) -> None:
    script.chmod(0o640)

    client.post(MEND, {"opened": "0" * 64})
    client.post(MEND)

    assert script.stat().st_mode & 0o777 == 0o640


def test_a_stranger_finds_nothing_there(client: Client, script: Path) -> None:
    script.chmod(0o640)
    stranger = client_of(factories.UserFactory.create(username="charlie"))

    assert stranger.post(MEND, {"opened": "x"}).status_code == 404
    assert (
        client.get(reverse("script-executable", args=["alice", "before_shop.sh"])).status_code
        == 302
    )
    assert script.stat().st_mode & 0o777 == 0o640


def test_evil_names_and_texts_stay_text(client: Client, place: Path) -> None:
    path = place / 'before_"><svg onload=alert(1)>.sh'
    path.write_text("#!/bin/bash\n'[<svg onload=alert(1)>' x\n'\"><svg>' -psecret\n")
    path.chmod(0o777)

    page = client.get(reverse("script-file", args=["alice", path.name])).content.decode()

    assert "can be changed by every account" in page
    assert "<svg" not in page.replace('<svg class="icon', "")
