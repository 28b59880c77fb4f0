"""A whole backup through real workers and a real Valkey, and what happens when they die."""

from collections.abc import Iterator

import pytest

from tests.ground import processes
from tests.system.product import Product, serving

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(90)]

# Promised is 1 s; a machine with much other work takes its time.
THAW_SECONDS = 20.0
WATCHDOG_SECONDS = 60.0  # after 10 s, where it has the processor to itself


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    with processes.folder() as folder, serving(folder / "home", folder) as served:
        yield served


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> None:
    if "product" in request.fixturenames:
        served: Product = request.getfixturevalue("product")
        served.marks_file.unlink(missing_ok=True)
        served.aws.clear_faults()
        served.aws.configure(pending_seconds=1)
        served.scripts()


def test_a_policy_is_frozen_fired_thawed_and_completed_through_the_workers(
    product: Product,
) -> None:
    run = product.wait_for_end(product.start_run())

    assert (run["state"], run["consistency"], run["reason"]) == ("succeeded", "application", "")
    told = [(m.phase, m.moment, m.argument) for m in product.marks()]
    assert told == [
        ("before", "start", ""), ("before", "end", ""),
        ("after", "start", "1"), ("after", "end", "1"),
        ("complete", "start", "1"), ("complete", "end", "1"),
    ]  # fmt: skip
    before, after = product.marks("before", "end")[0], product.marks("after", "start")[0]
    snapshots = product.aws.snapshots()[-2:]
    assert all(before.at <= s.created_at.timestamp() <= after.at for s in snapshots)
    assert {s["id"] for s in run["snapshots"]} == {s.snapshot_id for s in snapshots}
    tags = [s.tags for s in snapshots]
    assert {t["n2wbackup:consistency"] for t in tags} == {"application"}
    assert {t["n2wbackup:run"] for t in tags} == {run["id"]}


def test_a_killed_worker_leaves_nothing_frozen(product: Product) -> None:
    product.aws.configure(pending_seconds=600)  # so that there is a run to cancel
    product.aws.fault("CreateSnapshots", "hang", seconds=8, times=1)
    run = product.start_run()
    product.wait_for_mark("before", "end")
    processes.wait_until(
        lambda: any(c.action == "CreateSnapshots" and c.outcome == "serving" for c in product.aws.calls()),
        seconds=60, what="the call is under way",
    )  # fmt: skip

    killed_at = product.kill("n2wbackup worker freeze")

    after = product.wait_for_mark("after", "start")
    assert after.at - killed_at < THAW_SECONDS
    assert after.argument == "1"
    ended = product.wait_for_state(run, lambda s: s not in {"queued", "preparing", "frozen"})
    assert ended["consistency"] != "application"
    product.cancel(run)
    ended = product.wait_for_end(run)
    assert ended["state"] == "cancelled"
    assert [m.argument for m in product.marks("complete", "start")] == ["0"]
    assert len(product.marks("before", "start")) == 1


def test_a_guard_killed_during_before_ends_before_first_and_thaws_twice(
    product: Product,
) -> None:
    product.apply([product.instance], scripts={"timeout_seconds": {"before": 4, "after": 10}})
    product.script("before", "trap '' TERM; sleep 60 & wait $!; sleep 60")
    run = product.start_run()
    product.wait_for_mark("before", "start")

    killed_at = product.kill("n2wbackup guard")

    first = product.wait_for_mark("after", "start")
    assert first.argument == "0"
    assert first.at - killed_at < THAW_SECONDS + 1  # TERM is ignored, so KILL comes a second later
    assert not product.marks("before", "end")
    second = product.wait_for_mark("after", "start", count=2)
    assert (second.argument, second.attempt) == ("0", 2)
    assert second.at - first.at >= 2
    ended = product.wait_for_end(run)
    assert ended["state"] == "partial"
    assert ended["consistency"] == "crash"
    assert ended["phases"]["before"]["outcome"] == "interrupted"
    assert [m.argument for m in product.marks("complete", "start")] == ["0"]
    assert len(product.marks("before", "start")) == 1
    assert not product.marks("before", "end")


def test_worker_and_guard_killed_while_frozen_are_followed_by_the_watchdog(
    product: Product,
) -> None:
    product.aws.configure(pending_seconds=600)  # so that there is a run to cancel
    product.aws.fault("CreateSnapshots", "hang", seconds=8, times=1)
    run = product.start_run()
    product.wait_for_mark("before", "end")

    killed_at = product.kill("n2wbackup worker freeze", "n2wbackup guard")

    after = product.wait_for_mark("after", "end")
    assert after.at - killed_at < WATCHDOG_SECONDS
    ended = product.wait_for_state(run, lambda s: s not in {"queued", "preparing", "frozen"})
    assert ended["consistency"] != "application"
    product.cancel(run)
    product.wait_for_end(run)
