"""`python -m tests.browser.screenshots`: pictures of every page, in both themes and four widths, of the demo and of an
empty server, into the ignored folder screenshots/. With --docs: only the pictures that the documents show.
"""

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page
from playwright.sync_api import TimeoutError as LateError

from tests.browser import addresses, chromium, crawl
from tests.ground import processes

ROOT = Path(__file__).resolve().parents[2]
INTO, DOCS = ROOT / "screenshots", ROOT / "docs" / "pictures"
_START_SECONDS = 180
# What the documents show: name, page, theme. "run" is the newest run of the ledger.
_SHOWN: tuple[tuple[str, str, Literal["light", "dark"]], ...] = (
    ("dashboard", "/", "light"),
    ("dashboard-dark", "/", "dark"),
    ("policy", "/policies/alice/orders/", "light"),
    ("policy-edit", "/policies/alice/orders/edit/", "light"),
    ("run", "run", "light"),
    ("coverage", "/coverage/", "light"),
)
# The ways back of docs/restore.md: name, and what is entered in the form. {instance}, {data}: of the ledger.
_WAYS: tuple[tuple[str, dict[str, str]], ...] = (
    ("restore-volume", {"kind": "volume", "volume_id": "{data}"}),
    (
        "restore-attached",
        {"kind": "volume", "volume_id": "{data}", "attach_to": "{instance}", "device": "/dev/sdx"},
    ),
    (
        "restore-in-place",
        {"kind": "volume_in_place", "volume_id": "{data}", "stops": "on"},
    ),
    ("restore-instance", {"kind": "instance", "name": "ledger-restored"}),
)
_FAR = re.compile("initializing|done")
_SMALL = (1000, 640)  # a window for one thing


@dataclass(frozen=True)
class Demo:
    url: str
    passwords: dict[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots")
    parser.add_argument("--docs", action="store_true", help="only the pictures of the documents")
    given = parser.parse_args(arguments)
    with demo() as stage, chromium.started() as browser:
        if given.docs:
            _shoot_documents(browser, stage)
        else:
            _shoot_all(browser, stage)
    return 0


@contextlib.contextmanager
def demo() -> Iterator[Demo]:
    """Run the demo until the states that need a while are there."""
    with tempfile.TemporaryDirectory(prefix="n2wbackup-pictures-") as home:
        told = Path(home, "told")
        own = {"N2W_HOME": home, "N2W_PORT": str(processes.free_port()), "PYTHONUNBUFFERED": "1"}
        with told.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "demo"], cwd=ROOT, env=os.environ | own, stdout=output
            )
        try:
            processes.wait_until(
                lambda: "backup succeeded" in told.read_text(),
                seconds=_START_SECONDS,
                what="the demo's first backup",
            )
            text = told.read_text()
            crawl.know(Path(home, "settings"))
            url = re.search(r"http://127\.0\.0\.1:\d+", text)
            assert url, text
            yield Demo(url[0], dict(re.findall(r"Log in +(\w+) +(\S+)", text)))
        finally:
            process.terminate()
            process.wait(120)


def log_in(page: Page, demo: Demo, name: str) -> None:
    page.goto(f"{demo.url}/login/")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", demo.passwords[name])
    page.click("main button[type=submit]")
    page.wait_for_url(f"{demo.url}/")


def session_of(page: Page) -> dict[str, str]:
    """Return the cookies of who is logged in, for further windows."""
    return {each["name"]: each["value"] for each in page.context.cookies()}


def wait_for_the_states(page: Page, demo: Demo) -> str:
    """Return the address of a run of the ledger, once another run waits and another may be frozen."""
    processes.wait_until(partial(_is_frozen, page, demo), seconds=60, what="a banner", pause=1)
    return newest_run(page, demo)


def newest_run(page: Page, demo: Demo) -> str:
    """Return the address of the ledger's newest run; the page of the policy has older ones first."""
    page.goto(f"{demo.url}/runs/?policy=alice/ledger")
    link = page.locator("main table a[href^='/runs/']").first.get_attribute("href")
    assert link
    return link


def _is_frozen(page: Page, demo: Demo) -> bool:
    page.goto(f"{demo.url}/")
    return page.locator(".alarm").count() > 0


def _shoot_documents(browser: Browser, demo: Demo) -> None:
    DOCS.mkdir(exist_ok=True)
    for name, address, theme in _SHOWN:
        with chromium.window(browser, theme=theme, width=1280) as window:
            log_in(window.page, demo, "admin")
            run = wait_for_the_states(window.page, demo)
            window.go(f"{demo.url}{run if address == 'run' else address}")
            window.page.screenshot(path=DOCS / f"{name}.png")  # the part that a window shows
    with chromium.window(browser, width=_SMALL[0]) as window:
        window.page.set_viewport_size({"width": _SMALL[0], "height": _SMALL[1]})
        log_in(window.page, demo, "alice")  # of whom nothing may be frozen: no banner
        run = newest_run(window.page, demo)
        for name, entered in _WAYS:
            _shoot_way(window.page, f"{demo.url}{run}restore/", name, entered)
        _shoot_recovery(window.page, demo, run)
        _shoot_files(window.page, f"{demo.url}{run}")
        _shoot_proof(window.page, demo)


def _shoot_way(page: Page, address: str, name: str, entered: dict[str, str]) -> None:
    """Enter what comes back, and show what would be done."""
    page.goto(address)
    known = {
        "instance": page.locator("#id_instance_id").input_value(),
        "data": page.locator("#id_volume_id option").last.get_attribute("value"),
    }
    for field, value in entered.items():
        place = page.locator(f"#id_{field}")
        if field in ("kind", "volume_id"):
            place.select_option(value.format(**known))
        elif value == "on":
            place.check()
        else:
            place.fill(value.format(**known))
    page.click("button[value=look]")
    page.locator("#plan").wait_for()
    page.screenshot(path=DOCS / f"{name}.png")


def _shoot_recovery(page: Page, demo: Demo, run: str) -> None:
    """Begin the first of the ways, and show how far it is."""
    _shoot_way(page, f"{demo.url}{run}restore/", *_WAYS[0])
    page.click("button[value=restore]")
    page.wait_for_url(f"{demo.url}/recoveries/*/")
    page.locator("main .state", has_text=_FAR).first.wait_for()
    page.screenshot(path=DOCS / "recovery.png")


def _shoot_files(page: Page, run: str) -> None:
    """Open the ledger's snapshot, and show its files; the other volumes of the run have none."""
    page.goto(run)
    for address in _files_of(page):
        page.goto(address)
        page.click("main .deed form button[type=submit]")
        with contextlib.suppress(LateError):
            page.locator("nav.crumbs").wait_for(timeout=20_000)
            page.screenshot(path=DOCS / "files.png")
            return


def _files_of(page: Page) -> list[str]:
    links = page.locator("main a[href$='/files/']")
    return [str(links.nth(each).evaluate("link => link.href")) for each in range(links.count())]


def _shoot_proof(page: Page, demo: Demo) -> None:
    """Show the proof of the demo's first backup, once it has passed."""
    processes.wait_until(partial(_is_proven, page, demo), seconds=60, what="a proof", pause=1)
    page.locator("main table tbody th a").first.click()
    page.locator("#moves").wait_for()
    page.screenshot(path=DOCS / "proof.png")


def _is_proven(page: Page, demo: Demo) -> bool:
    page.goto(f"{demo.url}/proofs/")
    return page.locator("main .state", has_text="passed").count() > 0


def _shoot_all(browser: Browser, demo: Demo) -> None:
    INTO.mkdir(exist_ok=True)
    for theme in chromium.THEMES:
        with chromium.window(browser, theme=theme) as window:
            window.go(f"{demo.url}/login/")
            window.page.screenshot(path=INTO / f"login-{theme}.png", full_page=True)
            log_in(window.page, demo, "admin")
            wait_for_the_states(window.page, demo)
            for address in crawl.found(window.page, demo.url, addresses.PAGES):
                window.go(f"{demo.url}{address}")
                for width in chromium.WIDTHS:
                    window.widen(width)
                    name = address.strip("/").replace("/", "_") or "dashboard"
                    window.page.screenshot(
                        path=INTO / f"{name}-{theme}-{width}.png", full_page=True
                    )


if __name__ == "__main__":
    sys.exit(main())
