"""A simulated AWS by itself, for the first backup with a server, policies and scripts of one's own.

It stands until Ctrl-C. Its folder has a file to source and a document for `apply`, with the ids that exist.
"""

import contextlib
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

from n2wbackup.demo import place
from n2wbackup.demo.aws import SimulatedAws
from n2wbackup.demo.ending import Ended, Ending

_DOCUMENT = """\
users:
  - {{name: alice, email: alice@example.org, password_env: ALICE_PASSWORD}}
accounts:
  - {{owner: alice, name: lab, auth: keys, access_key_id: {key}, secret_access_key_env: LAB_SECRET, region: us-east-1}}
schedules:
  - {{owner: alice, name: nightly, cron: "0 2 * * *", timezone: Europe/Berlin}}
policies:
  - owner: alice
    name: shop
    account: lab
    schedules: [nightly]
    targets:
      - {{instance: {instance}, region: us-east-1}}
"""


def stand(folder: Path, say: Callable[[str], None]) -> None:
    """Start the simulated AWS with one instance, say how to use it, and remove everything at a signal.

    Raises PlaceError if a playground stands there already, or if the folder has files of somebody else.
    """
    ending = Ending()
    lock = place.take(folder)
    try:
        folder.chmod(0o700)
        with SimulatedAws(folder / "aws") as aws:
            environment, document = _written(folder, aws)
            say("The simulated AWS is ready. In other terminals, here and for the server:")
            say(f"  source {shlex.quote(str(environment))}")
            say(f"  .venv/bin/python manage.py apply {shlex.quote(str(document))}")
            say("Ctrl-C ends it and removes its files; what your server stored stays.")
            while True:
                signal.pause()
    except Ended:
        with contextlib.suppress(OSError):  # the terminal may be gone
            say("The simulated AWS has ended.")
    finally:
        ending.ignore()
        place.remove(folder)
        os.close(lock)


def _written(folder: Path, aws: SimulatedAws) -> tuple[Path, Path]:
    instance = aws.add_instance(name="shop").instance_id
    environment, document = folder / "environment", folder / "backup.yaml"
    key, secret = aws.environment["AWS_ACCESS_KEY_ID"], aws.environment["AWS_SECRET_ACCESS_KEY"]
    lines = [
        f"export AWS_ENDPOINT_URL={aws.endpoint_url} AWS_EC2_METADATA_DISABLED=true",
        f"export LAB_SECRET={secret}",
        'export ALICE_PASSWORD="${ALICE_PASSWORD:-$(head -c 12 /dev/urandom | base64)}"',
    ]
    environment.touch(mode=0o600)
    environment.write_text("\n".join(lines) + "\n", encoding="utf-8")
    document.write_text(_DOCUMENT.format(key=key, instance=instance), encoding="utf-8")
    return environment, document
