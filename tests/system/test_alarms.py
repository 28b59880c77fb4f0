"""Alarms of the real server: 'may be frozen' reaches people, whatever else is down."""

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator

import pytest

from tests.ground import processes
from tests.ground import receivers as ground
from tests.ground.receivers import Webhook
from tests.system.product import LABEL, Product, serving

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(80)]
TOKEN = "t0psecret-token"
HELD = "until [ -e {path}/go ]; do sleep 0.1; done; [ -e {path}/fixed ] || exit 1"


@pytest.fixture(scope="module")
def hook() -> Iterator[Webhook]:
    with ground.webhook() as served:
        yield served


@pytest.fixture(scope="module")
def product(hook: Webhook) -> Iterator[Product]:
    more = {
        "N2W_ALARM_NETWORKS": "127.0.0.0/8",
        "HOOK": f"{hook.json_url}/{TOKEN}",
        "PING": f"{hook.url}/{TOKEN}-ping",
    }
    policy = {"alarm_urls_env": "HOOK", "ping_url_env": "PING"}
    with (
        processes.folder() as folder,
        serving(folder / "home", folder, policy=policy, more=more) as served,
    ):
        yield served


@pytest.fixture(autouse=True)
def clean(product: Product, hook: Webhook) -> None:
    hook.requests.clear()
    product.marks_file.unlink(missing_ok=True)
    for name in ("go", "fixed"):
        (product.home / name).unlink(missing_ok=True)
    product.scripts(after=HELD.format(path=product.home))


def wait_for(hook: Webhook, words: str, seconds: float = 60) -> None:
    processes.wait_until(
        lambda: any(words in title for title in hook.titles),
        seconds=seconds,
        what=f"{words}; {hook.requests}",
    )


def message(hook: Webhook, words: str) -> str:
    """The text of the first message with `words` in its title.

    Messages of the run before come late, so their order tells nothing.
    """
    sent = (body for _, _, body in hook.requests if words in body.get("title", ""))
    return str(next(sent)["message"])


@contextlib.contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def freeze(product: Product) -> str:
    """Start a run, and return its id once its after has begun."""
    run = product.start_run()
    product.wait_for_mark("after", "start")
    return run


def mend(product: Product, hook: Webhook, run: str) -> None:
    """Let after succeed, and wait for the good news and the end."""
    (product.home / "fixed").touch()
    try:
        # after is tried again each minute in the end.
        wait_for(hook, "has recovered", seconds=150)
    except TimeoutError as error:
        error.add_note(_how_it_stands(product, run))
        raise
    assert product.wait_for_end(run)["state"] == "partial"
    # A late ping would be taken for one of the next run.
    processes.wait_until(
        lambda: f"/{TOKEN}-ping/fail" in hook.paths, seconds=60, what="the ping of the end"
    )


def _how_it_stands(product: Product, run: str) -> str:
    logs = [(path, path.read_text()[-3000:]) for path in (product.home / "logs").glob("*.log")]
    told = [f"{path.name}:\n{text}" for path, text in logs]
    journal = [path.read_text() for path in product.memory.glob("*/journal")]
    return "\n\n".join([str(product.show(run)), *journal, *told])


def nothing_tells_the_urls(product: Product) -> None:
    logs = [path.read_text() for path in (product.home / "logs").glob("*.log*")]
    assert logs
    assert TOKEN not in "".join(logs) + product.log.read_text()


def test_an_after_that_fails_is_told_while_the_broker_is_away(
    product: Product, hook: Webhook
) -> None:
    run = freeze(product)
    with stopped(product.pids("n2wbackup broker")):
        (product.home / "go").touch()

        wait_for(hook, f"{LABEL} MAY BE FROZEN since ")

        told = message(hook, "MAY BE FROZEN")
        assert f"show_run {run}" in told
        assert f"confirm_thaw {LABEL}" in told
    mend(product, hook, run)
    pings = [path for path in hook.paths if "ping" in path]
    assert pings == [f"/{TOKEN}-ping/start", f"/{TOKEN}-ping/fail"]
    nothing_tells_the_urls(product)


def test_an_after_that_fails_is_told_while_the_database_takes_nothing(
    product: Product, hook: Webhook
) -> None:
    run = freeze(product)
    with contextlib.closing(sqlite3.connect(product.home / "db.sqlite3")) as database:
        database.execute("PRAGMA busy_timeout = 20000")
        database.execute("BEGIN IMMEDIATE")
        (product.home / "go").touch()

        wait_for(hook, f"{LABEL} MAY BE FROZEN since ", seconds=90)
        database.rollback()

    told = message(hook, "MAY BE FROZEN")
    assert "database did not record this" in told
    assert f"confirm_thaw {LABEL}" in told
    mend(product, hook, run)
    # Its row comes late, and is not sent as well.
    assert sum("MAY BE FROZEN" in title for title in hook.titles) == 1
    nothing_tells_the_urls(product)
