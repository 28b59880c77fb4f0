"""What goes wrong between a person and the server: sessions end, two people save, no worker is there."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from playwright.sync_api import Browser, Page
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.models import Account, Policy, Run, Turn
from policies.selectors import health
from scripts_admin.models import User
from tests.browser import chromium
from tests.policies.views import admin_forms, matrix

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.real, pytest.mark.lasts(25)]
EDIT = "/policies/alice/policy1/edit/"
SAVES = "main form.entry button[value=save]"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: object) -> matrix.World:
    settings.N2W_SCRIPTS_ROOT = tmp_path
    monkeypatch.setattr(health, "_ping", lambda: True)
    cloud = MemoryCloud()
    cloud.add_instance()
    monkeypatch.setattr(session, "cloud", lambda _credentials: cloud)
    return matrix.made()


@pytest.fixture
def page(browser: Browser, live_server: Any, world: matrix.World) -> Iterator[Page]:
    """Alice's window, logged in."""
    cookies = {"sessionid": world.clients["owner"].cookies["sessionid"].value}
    with chromium.window(browser, cookies=cookies, base=live_server.url) as window:
        window.page.clock.install()
        yield window.page
        assert window.complaints == []


def log_in(page: Page) -> None:
    page.fill("input[name=username]", "alice")
    page.fill("input[name=password]", matrix.PASSWORD)
    page.click("main form button.btn-primary")


def test_a_session_that_ends_in_the_middle_of_a_form_loses_nothing_typed(
    page: Page, world: matrix.World
) -> None:
    page.goto("/accounts/new/")
    page.fill("#id_name", "second")
    page.fill("#id_access_key_id", "AKIAIOSFODNN7EXAMPLE")
    page.fill("#id_new_secret", admin_forms.SECRET)
    Session.objects.all().delete()
    chromium.later(page, lambda: "Your session has ended" in page.inner_text("#session"))
    assert page.input_value("#id_name") == "second", "the page stays as it is"

    page.click("main form.entry button.btn-primary")
    page.wait_for_url("**/login/**")
    log_in(page)
    page.wait_for_url("**/accounts/new/**")
    assert "Secrets were not kept." in page.inner_text("#messages")
    assert page.input_value("#id_name") == "second"
    assert page.input_value("#id_access_key_id") == "AKIAIOSFODNN7EXAMPLE"
    assert page.input_value("#id_new_secret") == ""
    page.fill("#id_new_secret", admin_forms.SECRET)
    page.click("main form.entry button.btn-primary")
    page.wait_for_url("**/accounts/alice/second/")
    assert Account.objects.filter(owner__username="alice", name="second").count() == 1


def test_the_second_of_two_who_save_sees_both_versions(
    page: Page, browser: Browser, live_server: Any, world: matrix.World
) -> None:
    page.goto(EDIT)
    page.fill("#id_retry_count", "5")
    cookies = {"sessionid": world.clients["boss"].cookies["sessionid"].value}
    with chromium.window(browser, cookies=cookies, base=live_server.url) as other:
        other.go(EDIT)
        other.page.fill("#id_retry_count", "3")
        other.page.fill("#typed", "vol-0456789a")
        other.page.click(SAVES)
        other.page.wait_for_url("**/policies/alice/policy1/")

    page.fill("#typed", "vol-0123456b")
    page.click(SAVES)
    page.wait_for_selector("#mistakes")
    row = page.locator("#mistakes tr", has_text="etries").first.inner_text().split("\t")
    assert [row[-2].strip(), row[-1].strip()] == ["3", "5"]
    policy = Policy.objects.get(name="policy1")
    assert policy.retry_count == 3
    page.click(SAVES)
    page.wait_for_url("**/policies/alice/policy1/")
    policy.refresh_from_db()
    assert policy.retry_count == 5


def test_the_page_before_a_save_can_be_saved_again(page: Page, world: matrix.World) -> None:
    page.goto(EDIT)
    page.fill("#typed", "vol-0123456b")
    page.fill("#id_retry_count", "5")
    page.click(SAVES)
    page.wait_for_url("**/policies/alice/policy1/")
    page.go_back()
    page.wait_for_url(f"**{EDIT}")
    page.fill("#id_retry_count", "6")
    page.click(SAVES)
    # What the browser shows out of its memory is the version before the first save.
    page.wait_for_selector("#mistakes, #messages .alert-success")
    if page.locator("#mistakes").count():
        assert "or by you in another window" in page.inner_text("#mistakes")
        page.click(SAVES)
    page.wait_for_url("**/policies/alice/policy1/")
    assert Policy.objects.get(name="policy1").retry_count == 6


def test_without_a_worker_the_dashboard_says_it_and_a_backup_waits_and_says_so(
    page: Page, world: matrix.World
) -> None:
    Turn.objects.create(name="poll", taken_at=clock.now() - timedelta(minutes=5))
    page.goto("/")
    assert re.search(r"have done nothing for \d+ min", page.inner_text("main"))

    page.goto("/policies/alice/policy1/")
    page.click("form[action$='/back-up/'] button")
    page.wait_for_url("**/runs/*/")
    assert "The run is queued, and nothing takes it now." in page.inner_text("#moves")
    assert Run.objects.filter(policy__name="policy1", state="queued").count() == 1

    def works() -> bool:
        Turn.objects.update(taken_at=clock.now())
        return "a worker takes it soon" in page.inner_text("#moves")

    chromium.later(page, works)


def test_a_server_that_does_not_answer_is_told_on_an_open_page(
    page: Page, world: matrix.World
) -> None:
    page.goto("/runs/")
    page.context.set_offline(True)
    chromium.later(page, lambda: page.locator("#stale").is_visible())
    page.context.set_offline(False)
    chromium.later(page, lambda: not page.locator("#stale").is_visible())


def test_a_stranger_finds_nothing_of_it_on_any_page(
    browser: Browser, live_server: Any, world: matrix.World
) -> None:
    """The matrix has what is not there for a stranger; the pages that everybody has are looked at here."""
    stranger: Client = world.clients["other"]
    shown, found = [], {}
    for route in matrix.routes():
        address = matrix.path(world, route)
        answer = stranger.get(address)
        if answer.status_code == 200 and "html" in answer.headers.get("Content-Type", ""):
            shown.append(address)
        stranger.force_login(User.objects.get(username="carol"))
    cookies = {"sessionid": stranger.cookies["sessionid"].value}
    with chromium.window(browser, cookies=cookies, base=live_server.url) as window:
        for address in shown:
            window.go(address)
            text = window.page.inner_text("body")
            said = [word for word in ("alice", "policy1", "vol-01234567") if word in text]
            if said:
                found[address] = said
    assert found == {}
    assert len(shown) > 15
