"""The drawn week of a schedule: dragging over it writes a disabled time, and typing does the same without a script."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from pytest_django import Settings

from policies.models import Schedule
from tests.browser import chromium
from tests.policies.views import matrix

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.real, pytest.mark.lasts(8)]
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
SAVES = "main form.entry button[value=save]"


@pytest.fixture
def world(settings: Settings, tmp_path: object) -> matrix.World:
    settings.N2W_SCRIPTS_ROOT = tmp_path
    return matrix.made()


def drag(page: Page, days: tuple[str, str], hours: tuple[float, float]) -> None:
    """Drag from an hour of the one drawn day to an hour of the other."""
    week = page.locator("svg.week")
    week.scroll_into_view_if_needed()
    box = week.bounding_box()
    assert box
    scale = box["width"] / 816
    places = []
    for day, hour in zip(days, hours, strict=True):
        row = page.locator(f"svg.week [data-day={day}] .track").bounding_box()
        assert row
        places.append((box["x"] + (72 + hour * 30) * scale, row["y"] + 2))
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=5)
    page.mouse.up()


def days_of(page: Page) -> list[str]:
    rows = page.locator("svg.week [data-day]")
    return [str(rows.nth(each).get_attribute("data-day")) for each in range(rows.count())]


def test_a_drag_writes_the_line_draws_it_and_is_saved(
    browser: Browser, live_server: Any, world: matrix.World
) -> None:
    row = world.rows["schedule"]
    assert isinstance(row, Schedule)
    Schedule.objects.filter(pk=row.pk).update(disabled=[], cron="0 2 * * *", every_number=None)
    cookies = {"sessionid": world.clients["owner"].cookies["sessionid"].value}
    with chromium.window(browser, cookies=cookies, base=live_server.url) as window:
        page = window.page
        window.go(f"/schedules/alice/{row.name}/edit/")
        days = days_of(page)

        with page.expect_response("**/edit/"):
            drag(page, (days[1], days[2]), (7.8, 18.2))
        line = f"{days[1]} {days[2]} 07:30-18:30"
        assert page.input_value("#id_disabled") == line
        page.wait_for_function("document.querySelectorAll('svg.week .closed').length === 2")
        assert page.locator("svg.week .drawn-now").count() == 0

        with page.expect_response("**/edit/"):
            drag(page, (days[3], days[3]), (24, 20))
        lines = [line, f"{days[3]} 20:00-24:00"]
        assert page.input_value("#id_disabled").splitlines() == lines
        page.locator(f"svg.week [data-day={days[4]}] .track").click(force=True)
        assert page.input_value("#id_disabled").splitlines() == lines, "a click is no drag"

        page.click(SAVES)
        page.wait_for_url(f"**/schedules/alice/{row.name}/")
        assert window.complaints == []
    both = " ".join(sorted(days[1:3], key=WEEK.index))
    assert Schedule.objects.get(pk=row.pk).disabled == [f"{both} 07:30-18:30", lines[1]]


def test_without_a_script_the_line_is_typed(
    browser: Browser, live_server: Any, world: matrix.World
) -> None:
    row = world.rows["schedule"]
    assert isinstance(row, Schedule)
    cookies = {"sessionid": world.clients["owner"].cookies["sessionid"].value}
    with chromium.window(browser, cookies=cookies, base=live_server.url, scripts=False) as window:
        window.go(f"/schedules/alice/{row.name}/edit/")
        assert not window.page.locator(".with-scripts").is_visible()
        window.page.fill("#id_disabled", "sat sun 08:00-18:00")
        window.page.click(SAVES)
        window.page.wait_for_url(f"**/schedules/alice/{row.name}/")
    assert Schedule.objects.get(pk=row.pk).disabled == ["sat sun 08:00-18:00"]
