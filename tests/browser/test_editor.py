"""The editor of scripts in a real browser: its text is typed over, and nothing of its looks gets into the page."""

from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from pytest_django import Settings

from scripts_admin.folders import storage
from scripts_admin.models import Folder
from tests.browser import chromium
from tests.policies.views import matrix, script_files

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.real, pytest.mark.lasts(6)]
COLOURED = '#!/bin/bash\n# a comment\necho "a text" # and so on\nexit 1\n'


def test_the_whole_text_is_typed_over_and_the_policy_of_the_page_forbids_nothing(
    browser: Browser, live_server: Any, settings: Settings, tmp_path: object
) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path
    world = matrix.made()
    script_files.lay()
    script = storage.path(Folder.objects.get(owner__username="alice")) / script_files.NAME
    script.write_text(COLOURED)
    cookies = {"sessionid": world.clients["owner"].cookies["sessionid"].value}
    with chromium.window(browser, cookies=cookies, base=live_server.url) as window:
        page = window.page
        window.go(f"/scripts/alice/files/{script_files.NAME}/edit/")
        sent = page.locator("#id_text")
        page.locator(".cm-content").click()
        page.keyboard.press("Control+a")
        page.keyboard.type("#!/bin/sh\necho mine")
        expect(sent).to_have_value("#!/bin/sh\necho mine")
        page.keyboard.press("Control+a")
        page.keyboard.type("(")
        expect(sent).to_have_value("(#!/bin/sh\necho mine)")  # brackets still go around
        # By keys: what a program marks as selected, the editor hears of only later.
        page.keyboard.press("Control+a")
        page.keyboard.insert_text("#!/bin/sh\nexit 0\n")
        expect(sent).to_have_value("#!/bin/sh\nexit 0\n")
        page.click("main form .btn-primary")
        page.wait_for_url(f"**/scripts/alice/files/{script_files.NAME}/")
        assert window.complaints == []
    assert script.read_text() == "#!/bin/sh\nexit 0\n"
