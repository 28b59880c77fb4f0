"""The journeys through a real server, on a simulated AWS: first use by keyboard, a watched run, a freeze.

The first use is the ground of the other tests: whichever comes first walks the way.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium
from tests.browser.keys import Keys
from tests.contract.aws_clients import ec2
from tests.ground import processes
from tests.system.product import Product, serving_nothing

pytestmark = [pytest.mark.real, pytest.mark.timeout(300), pytest.mark.lasts(40)]
GOOD = "correct horse battery"
POLICY = "/policies/boss/shop/"


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    with processes.folder() as folder, serving_nothing(folder / "home", folder) as served:
        served.aws.add_instance(name="shop")
        yield served


@pytest.fixture(scope="module")
def window(browser: Browser, product: Product) -> Iterator[chromium.Window]:
    base = f"http://localhost:{product.port}"
    with chromium.window(browser, base=base) as opened:
        opened.page.clock.install()  # what pages do by themselves need not be waited for
        yield opened


def script(product: Product, phase: str, body: str = "") -> None:
    path = product.home / "scripts" / f"{phase}_shop.sh"
    path.parent.mkdir(exist_ok=True)
    fresh = Path(f"{path}~")
    fresh.write_text(f"#!/bin/sh\n{body}\n")
    fresh.chmod(0o755)
    fresh.rename(path)


def next_step(page: Page) -> str:
    return page.inner_text(".first-use [aria-current=step] strong").removeprefix("Next: ")


def wait_for_state(page: Page, state: str) -> None:
    expect(page.locator("#moves .state").first).to_have_text(state)


def runs(product: Product) -> int:
    return int(product.query("SELECT count(*) FROM policies_run")[0][0])


@pytest.fixture(scope="module")
def steps(product: Product, window: chromium.Window) -> list[str]:
    """Walk from the link in the log to the first backup by keyboard; return what each page said is next."""
    page, keys = window.page, Keys(window.page)
    steps: list[str] = []
    processes.wait_until(lambda: "/first/" in product.log.read_text(), seconds=60, what="the link")
    link = product.log.read_text().partition("/first/")[2].split()[0]
    window.go(f"/first/{link}")
    keys.write("#id_username", "boss")
    keys.write("#id_new_password1", GOOD)
    keys.write("#id_new_password2", GOOD)
    keys.enter()
    page.wait_for_selector(".first-use")

    steps.append(next_step(page))
    keys.press(".first-use .btn-primary")
    keys.write("#id_name", "lab")
    keys.to("#id_auth")
    page.keyboard.type("access")
    keys.write("#id_access_key_id", product.aws.environment["AWS_ACCESS_KEY_ID"])
    keys.write("#id_new_secret", product.aws.environment["AWS_SECRET_ACCESS_KEY"])
    keys.enter()
    page.wait_for_selector(".page-header form[action$='/test/']")
    assert "Test what it may do." in page.inner_text("#messages")
    keys.press("form[action$='/test/'] button")
    assert "CreateSnapshots" in page.inner_text("main")

    # Left, and resumed at the dashboard.
    window.go("/")
    steps.append(next_step(page))
    keys.press(".first-use .btn-primary")
    keys.write("#id_name", "shop")
    page.wait_for_selector("#target-table input[name=target]")
    keys.tick("#target-table input[name=target]")
    keys.tick("#h-when ~ details summary")
    keys.write("#id_made-name", "nightly")
    keys.write("#id_made-cron", "0 2 * * *")
    keys.press("main form.entry button[value=save]")
    page.wait_for_url(f"**{POLICY}")

    steps.append(next_step(page))
    for phase in ("before", "after", "complete"):
        script(product, phase)
    page.reload()
    steps.append(next_step(page))
    keys.press(".first-use .btn-primary")
    keys.press("main form button.btn-primary")
    page.wait_for_url("**/runs/*/")
    page.wait_for_selector(".first-use")
    wait_for_state(page, "succeeded")
    steps.append(next_step(page))
    keys.press(".first-use .btn-primary")
    keys.press("form[action$='/back-up/'] button")
    page.wait_for_url("**/runs/*/")
    wait_for_state(page, "succeeded")

    window.go("/")
    steps.append(page.inner_text(".verdict"))
    return steps


@pytest.fixture
def page(product: Product, window: chromium.Window, steps: list[str]) -> Iterator[Page]:
    assert steps
    for phase in ("before", "after", "complete"):
        script(product, phase)
    yield window.page
    assert window.complaints == []


def test_the_first_use_leads_to_a_backup_step_by_step(
    page: Page, window: chromium.Window, steps: list[str]
) -> None:
    assert steps == [
        "Add an AWS account.",
        "Make a policy.",
        "Add its scripts.",
        "Test the scripts.",
        "Make the first backup.",
        "The one policy is protected. Nothing is frozen, overdue or failing.",
    ]
    window.go("/")
    assert page.locator(".first-use").count() == 0


def test_a_run_is_watched_to_its_end_and_then_the_page_is_still(
    product: Product, page: Page, window: chromium.Window
) -> None:
    go = product.home.parent / "go"
    script(product, "complete", f"echo works; until [ -e {go} ]; do sleep 0.1; done")
    window.go(POLICY)
    page.click("form[action$='/back-up/'] button")
    page.wait_for_url("**/runs/*/")
    wait_for_state(page, "completing")
    said = page.locator("#said")
    assert said.get_attribute("aria-live") == "polite"
    expect(said).to_contain_text("complete")
    assert page.locator("#moves[hx-get]").count() == 1

    go.touch()
    wait_for_state(page, "succeeded")
    expect(said).to_contain_text("The run has ended: succeeded.")
    assert "succeeded" in page.title()
    assert page.locator("#moves[hx-get]").count() == 0
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_request("**/frozen/**"):
        page.clock.run_for(chromium.BANNER_MS)  # five times as long as the pause between its polls
    assert [url for url in asked if "/runs/" in url] == []


def test_a_double_click_on_a_slow_network_makes_one_run(
    product: Product, page: Page, window: chromium.Window
) -> None:
    before = runs(product)
    window.go(POLICY)
    with chromium.slow(page):
        page.dblclick("form[action$='/back-up/'] button")
        page.wait_for_url("**/runs/*/")
    wait_for_state(page, "succeeded")
    assert runs(product) == before + 1

    page.go_back()
    page.wait_for_url(f"**{POLICY}")
    page.click("form[action$='/back-up/'] button")
    page.wait_for_url("**/runs/*/")
    assert runs(product) == before + 2, "the button is not spent"
    wait_for_state(page, "succeeded")


def test_a_freeze_is_told_on_an_open_page_until_it_is_thawed(
    product: Product, page: Page, window: chromium.Window
) -> None:
    script(product, "after", "exit 1")
    window.go(POLICY)
    page.click("form[action$='/back-up/'] button")
    page.wait_for_url("**/runs/*/")
    run = page.url
    window.go("/schedules/")
    chromium.later(page, lambda: "boss/shop" in page.inner_text("#frozen"))

    other = page.context.new_page()
    other.clock.install()
    other.goto("/")
    chromium.later(other, lambda: "1 application may be frozen" in other.inner_text(".verdict"))
    script(product, "after")
    page.click("#frozen button:has-text('Thaw now')")
    page.wait_for_url("**/schedules/")
    assert "boss/shop" in page.inner_text("#messages")
    chromium.later(page, lambda: not page.locator("#frozen .alarm").count())
    expect(page.locator("#frozen-said")).to_have_text("No application may be frozen any more.")
    chromium.later(other, lambda: not other.locator("#frozen .alarm").count())
    chromium.later(other, lambda: "may be frozen" not in other.inner_text(".verdict"))
    other.close()
    window.go(run)
    wait_for_state(page, "partial")


def test_the_word_of_a_person_ends_the_banner_too(
    product: Product, page: Page, window: chromium.Window
) -> None:
    script(product, "after", "exit 1")
    window.go(POLICY)
    page.click("form[action$='/back-up/'] button")
    page.wait_for_url("**/runs/*/")
    chromium.later(page, lambda: page.locator("#frozen .alarm").is_visible())
    page.click("#frozen summary")
    page.click("#frozen button:has-text('is thawed')")
    page.wait_for_selector("#messages .alert")
    chromium.later(page, lambda: not page.locator("#frozen .alarm").count())
    wait_for_state(page, "partial")


def test_an_instance_joins_by_its_tag_and_leaves_with_an_alarm(
    product: Product, page: Page, window: chromium.Window
) -> None:
    till = product.aws.add_instance(name="till").instance_id
    tag = {"Key": "backup", "Value": "shop"}
    window.go("/coverage/rules/")
    for name, text in {"policy": "boss/shop", "tag": tag["Key"], "value": tag["Value"]}.items():
        page.fill(f"#id_{name}", text)
    page.select_option("#id_what", "instances")
    page.click("button:has-text('Add the rule')")
    page.wait_for_selector("#messages .alert-success")

    ec2(product.aws).create_tags(Resources=[till], Tags=[tag])  # type: ignore[list-item] # boto's own type
    refreshed_until(window, POLICY, lambda: till in page.inner_text("main"))
    ec2(product.aws).delete_tags(Resources=[till], Tags=[{"Key": tag["Key"]}])

    def has_left() -> bool:
        # The second look comes minutes after the first: let the first have been long ago.
        product.query(
            "UPDATE policies_policytarget SET untagged_since = '2020-01-01' WHERE untagged_since > '2020'"
        )
        return till not in page.inner_text("main")

    refreshed_until(window, POLICY, has_left)
    window.go("/alarms/")
    assert "1 target left the policy" in page.inner_text("main")
    window.go("/audit/")
    for word in ("enrolled", "left"):
        assert page.locator("main td", has_text=re.compile(f"^{word}$")).count() == 1


def refreshed_until(window: chromium.Window, path: str, is_so: Callable[[], bool]) -> None:
    """Have AWS asked again until the page is as it should be: its listings lag."""

    def asked_again() -> bool:
        window.go("/coverage/")
        window.page.click("button:has-text('Ask AWS again')")
        window.page.wait_for_selector("#messages .alert-success")
        window.go(path)
        return is_so()

    processes.wait_until(asked_again, seconds=60, what=f"a change of {path}", pause=1)
