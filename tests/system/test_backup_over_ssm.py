"""The whole product freezes a file system of an instance over SSM, and the instance thaws itself when it is gone."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ground import filesystems, fsfreeze, processes
from tests.ground.leeway import LEEWAY
from tests.system.product import MARK, POLICY, Product, serving, wait_until_ready

pytest_plugins = ("tests.ground.fixtures", "tests.ground.fsfreeze_fixtures")
pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(60)]


@pytest.fixture
def volume(ground_folder: Path) -> Iterator[filesystems.Volume]:
    """The instance's data; thawed at the end, whatever a test does."""
    with filesystems.ext4(ground_folder, name="instance", megabytes=16) as made:
        try:
            yield made
        finally:
            fsfreeze.thaw(made.mount)


@pytest.fixture
def product(ground_folder: Path, volume: filesystems.Volume) -> Iterator[Product]:
    """A server whose policy freezes the data of an instance that only SSM reaches."""
    beside = ground_folder / "over-ssm"
    (beside / "instance").mkdir(parents=True)
    with serving(beside / "home", beside) as served:
        served.instance = served.aws.add_instance(folder=beside / "instance").instance_id
        apply(served)
        there = {
            "before": f"fsfreeze -f {volume.mount}",
            "after": f"fsfreeze -u {volume.mount} || [ -w {volume.mount} ]",
        }
        for phase, body in there.items():
            text = MARK.format(phase=phase, body=body, marks=served.marks_file)
            (served.folder / f"{phase}_{POLICY}@all.sh").write_text(text)
        served.script("complete")
        try:
            yield served
        finally:
            for left in Path("/run").glob(f"n2w-*{served.instance}"):
                shutil.rmtree(left)
    shutil.rmtree(beside)


def apply(product: Product, **policy: Any) -> None:
    target = {"instance": product.instance, "region": "us-east-1", "remote": {"by": "ssm"}}
    product.apply([], targets=[target], **policy)


def story(product: Product) -> list[str]:
    return [f"{each.phase} {each.argument}".strip() for each in product.marks(moment="start")]


def kill_everything(product: Product) -> None:
    """Kill every process of the server, first the one that would start the others anew."""
    assert product.process is not None
    others = {*processes.descendants(product.process.pid), *product.titles()}
    product.process.kill()
    product.process.wait()
    for pid in others:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_window_over_ssm_and_one_whose_server_dies_in_it(
    product: Product, volume: filesystems.Volume
) -> None:
    run = product.wait_for_end(product.start_run())

    assert story(product) == ["before", "after 1", "complete 1"], run
    assert (run["state"], run["consistency"]) == ("succeeded", "application"), run["reason"]
    (target,) = run["targets"]
    assert (target["thaw_by"], target["phases"]["after"]["argument"]) == ("worker", "1")
    (call,) = [each for each in product.aws.calls("CreateSnapshots") if not each.dry_run]
    frozen, thawed = product.marks("before", "end")[0], product.marks("after", "start")[0]
    assert frozen.at <= call.at.timestamp() <= thawed.at

    product.marks_file.unlink()
    apply(product, max_freeze_seconds=20, scripts={"timeout_seconds": {"before": 10}})
    product.aws.fault("CreateSnapshots", "hang", dry_run=False)  # the window stays open
    lost = product.start_run()
    product.wait_for_mark("before", "end", seconds=LEEWAY)
    kill_everything(product)
    product.wait_for_mark("after", "end", seconds=LEEWAY)  # nobody is there to tell it
    assert story(product) == ["before", "after 0"]
    product.aws.clear_faults()

    product.start()
    wait_until_ready(product)
    run = product.wait_for_state(lost, lambda state: state not in {"frozen", "thawing"})

    (target,) = run["targets"]
    assert target["thaw_by"] == "deadline", run
    assert target["phases"]["after"]["outcome"] == "succeeded"
    assert (target["phases"]["before"]["outcome"], run["thaw_by"]) == ("succeeded", "lost")
    assert target["consistency"] != "application"
    assert story(product) == ["before", "after 0"]
