"""The Redis and the generic recipe, run by the whole product."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from n2wbackup.demo.aws import VolumeSpec
from tests.ground import application, filesystems, recipes_redis, redis, sshd
from tests.ground.application import Application
from tests.system.product import LABEL, POLICY, Product, serving

pytest_plugins = (
    "tests.ground.fixtures",
    "tests.ground.redis_fixtures",
    "tests.ground.application_fixtures",
)
pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(60)]


@contextlib.contextmanager
def serving_a_volume(
    folder: Path, disks: filesystems.Volume, volume: filesystems.Volume
) -> Iterator[Product]:
    """A server whose policy backs this volume up, its scripts folder yet to be made."""
    copies = disks.mount / "snapshots"
    copies.mkdir(exist_ok=True)
    home = folder / "product"
    home.mkdir()
    volumes = [VolumeSpec(), VolumeSpec(backing=volume.image, copy_to=copies)]
    with serving(home / "home", home, volumes=volumes) as served:
        shutil.rmtree(served.folder)
        yield served
    shutil.rmtree(home, ignore_errors=True)


def back_up(product: Product) -> tuple[dict[str, Any], Path]:
    """Back up now; return the run, and the image of the copied volume."""
    done = product.manage("run_policy", LABEL, "--wait", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads(done.stdout)
    assert (run["state"], run["consistency"]) == ("succeeded", "application"), run
    assert {phase["outcome"] for phase in run["phases"].values()} == {"succeeded"}
    return run, next(s.copy for s in product.aws.snapshots() if s.copy is not None)


def during(run: dict[str, Any], happened: Callable[[datetime, datetime], object]) -> object:
    """What happened between the end of before and the start of after."""
    before, after = run["phases"]["before"], run["phases"]["after"]
    start, end = before["ended_at"], after["started_at"]
    return happened(datetime.fromisoformat(start), datetime.fromisoformat(end))


def test_a_redis_is_held_copied_released_and_its_copy_has_every_write(
    ground_folder: Path,
    disks: filesystems.Volume,
    redis_volume: filesystems.Volume,
    ground_sshd: sshd.Sshd,
    serve_redis: recipes_redis.Serve,
) -> None:
    server = serve_redis("redis")
    with serving_a_volume(ground_folder, disks, redis_volume) as product:
        recipes_redis.install(product.folder, server, ground_sshd, policy=POLICY)
        with redis.Writer(server) as writer:
            run, image = back_up(product)
            writer.wait_for(50)

    assert during(run, writer.between) == []
    with (
        filesystems.mounted(image, ground_folder / "restored", options=["nouuid"]) as restored,
        redis.running(
            "redis",
            ground_folder / "copy-of-redis",
            data=restored.mount / server.data.name,
            persistence="append-only",
        ) as copy,
    ):
        ledger = copy.ledger()
    image.unlink()
    assert ledger.whole
    ended_at = datetime.fromisoformat(run["phases"]["before"]["ended_at"])
    assert 0 < writer.answered_before(ended_at) <= ledger.last


def test_an_application_is_frozen_copied_thawed_and_its_copy_ends_at_the_freeze(
    ground_folder: Path, disks: filesystems.Volume, app_volume: filesystems.Volume, app: Application
) -> None:
    with serving_a_volume(ground_folder, disks, app_volume) as product:
        recipe = application.install(product.folder, app, policy=POLICY)
        run, image = back_up(product)
        app.wait_for(50)
    shutil.rmtree(recipe.state)

    assert during(run, app.between) == []
    with filesystems.mounted(image, ground_folder / "restored", options=["nouuid"]) as restored:
        last = application.last_number(restored.mount / app.data.name / application.LEDGER)
    image.unlink()
    ended_at = datetime.fromisoformat(run["phases"]["before"]["ended_at"])
    assert last == max(write.number for write in app.writes if write.at <= ended_at)
