"""A server that is not root opens snapshots by the launcher, and nothing of an image outlives it."""

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground import image_parts, launcher
from tests.ground import images as ground
from tests.ground.launcher import Place

pytestmark = [pytest.mark.real, pytest.mark.lasts(20)]
OPENING = """
import json, os, sys
from pathlib import Path
from policies.adapters.images import HomeImages
from policies.ports import Credentials
from policies.ports.images import Order

given = json.loads(sys.argv[1])
images = HomeImages(Path(given["home"]))
order = Order(**{**given["order"], "credentials": Credentials(*given["keys"])})
tree = images.opened(order)
ran = tree.run(["/bin/cat", "/tree/secret"], uid=113, seconds=20)
other = tree.run(["/bin/cat", "/tree/secret"], uid=114, seconds=20)
said = {
    "uid": os.getuid(),
    "content": b"".join(tree.read(b"secret")).decode(),
    "ran": ran.stdout.decode(),
    "other": other.stdout.decode(),
    "keys": images.keys(),
}
tree.close()
print(json.dumps({**said, "reaped": images.reap(), "after": images.keys()}))
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with launcher.installed() as found:
        yield found


def fill(folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("of 113")
    os.chown(secret, 113, 113)
    secret.chmod(0o600)


def test_the_launcher_opens_what_the_server_may_not(place: Place, tmp_path: Path) -> None:
    with ground.ground(tmp_path) as found:
        snapshot = found.snapshot(ground.disk(tmp_path, "xfs", fill))
        home = place.view / "images"
        home.mkdir(mode=0o700)
        os.chown(home, place.server.pw_uid, place.server.pw_gid)
        key = str(uuid.uuid4())
        order = {"key": key, "region": ground.REGION, "snapshot_id": snapshot, "seconds": 60}
        keys = [ground.KEY, ground.SECRET]
        given = json.dumps({"home": str(home), "order": order, "keys": keys})
        done = place.run(
            place.python,
            "-c",
            OPENING,
            given,
            user=place.server,
            env={"AWS_ENDPOINT_URL": found.aws.endpoint_url, "PYTHONPATH": str(place.checkout)},
        )
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said == {
            "uid": place.server.pw_uid,
            "content": "of 113",
            "ran": "of 113",
            "other": "",
            "keys": [key],
            "reaped": 0,
            "after": [],
        }
        assert image_parts.leftovers(key) == []
