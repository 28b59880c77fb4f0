"""Redis and Valkey servers and their recipe, as pytest fixtures. A test module asks for them with

pytest_plugins = ("tests.ground.fixtures", "tests.ground.redis_fixtures")
"""

import contextlib
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.ground import filesystems, recipes, recipes_redis, redis, scripts, sshd
from tests.ground.recipes_redis import Install, Serve


@pytest.fixture(scope="session")
def redis_volume(disks: filesystems.Volume) -> Iterator[filesystems.Volume]:
    """The data volume of the server's instance, an XFS with its disk on `disks`."""
    with filesystems.xfs(disks.mount, name="redis", megabytes=512) as volume:
        yield volume


@pytest.fixture
def serve_redis(ground_folder: Path, redis_volume: filesystems.Volume) -> Iterator[Serve]:
    """Starts servers with their data on the data volume; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start(
            kind: str, persistence: str = "append-only", options: Sequence[str] = ()
        ) -> redis.Server:
            name = uuid.uuid4().hex[:8]
            data = redis_volume.mount / name
            stack.callback(shutil.rmtree, data, ignore_errors=True)
            server = redis.running(
                kind, ground_folder / name, data=data, persistence=persistence, options=options
            )
            return stack.enter_context(server)

        yield start


@pytest.fixture(params=redis.KINDS)
def redis_kind(request: pytest.FixtureRequest) -> str:
    """Redis and Valkey in turn."""
    return str(request.param)


@pytest.fixture
def redis_server(serve_redis: Serve, redis_kind: str) -> redis.Server:
    """A server with an append-only file."""
    return serve_redis(redis_kind)


@pytest.fixture
def redis_writer(redis_server: redis.Server) -> Iterator[redis.Writer]:
    """500 writes a second into the server's ledger, all the time."""
    with redis.Writer(redis_server) as writer:
        yield writer


@pytest.fixture
def redis_over_ssh(ground_folder: Path, ground_sshd: sshd.Sshd) -> Iterator[Install]:
    """Installs the recipe over SSH, with the given settings; releases the hold at the end."""
    yield from _installing(ground_folder, ground_sshd)


@pytest.fixture
def redis_client_on_server(ground_folder: Path) -> Iterator[Install]:
    """Installs the recipe without SSH, with the given settings; releases the hold at the end."""
    yield from _installing(ground_folder, None)


def _installing(folder: Path, ssh: sshd.Sshd | None) -> Iterator[Install]:
    installed: list[recipes.Recipe] = []

    def put(server: redis.Server, **settings: str | Path) -> recipes.Recipe:
        place = folder / f"scripts-{uuid.uuid4().hex[:8]}"
        installed.append(recipes_redis.install(place, server, ssh, settings=settings))
        return installed[-1]

    yield put
    for recipe in installed:
        scripts.run(recipe.after, "0")


@pytest.fixture
def install_redis(request: pytest.FixtureRequest, redis_kind: str) -> Install:
    """One way for each kind, so that both kinds and both ways are tested: Redis over SSH, Valkey without."""
    way = "redis_over_ssh" if redis_kind == "redis" else "redis_client_on_server"
    chosen: Install = request.getfixturevalue(way)
    return chosen
