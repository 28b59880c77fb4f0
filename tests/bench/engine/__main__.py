"""The product: whole runs in one warm process, not in its first thread, as in a worker.

`python -m tests.bench.engine [--sshd FOLDER PORT] POLICY=INSTANCE[,INSTANCE…] …`: a run of a policy for each line that
names it. Scripts of a policy whose name begins with "far" run on its instances, which all are that sshd. The process
must be started as a package: the guards' forkserver would import a plain module into each guard.
"""

import argparse
import getpass
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import django

django.setup()

# Models can be imported only now.
from django.core.management import call_command  # noqa: E402

from n2wbackup.lib import clock  # noqa: E402
from policies.domain.runs.trigger import Trigger  # noqa: E402
from policies.domain.runs.verdict import Consistency  # noqa: E402
from policies.models import Account, Policy, PolicyTarget  # noqa: E402
from policies.services import here  # noqa: E402
from scripts_admin.domain.remote import Remote  # noqa: E402
from scripts_admin.models import Folder, HostState, SshHost, User  # noqa: E402
from scripts_admin.services import folders, keys  # noqa: E402
from tests.bench.request import REGION  # noqa: E402


def main() -> None:
    """Set the server up, report that it is ready, and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sshd", nargs=2, metavar=("FOLDER", "PORT"))
    parser.add_argument("policies", nargs="+", metavar="POLICY=INSTANCE")
    given = parser.parse_args()
    call_command("migrate", verbosity=0)
    policies = _policies(dict(argument.split("=") for argument in given.policies), given.sshd)
    print("{}", flush=True)
    with ThreadPoolExecutor(1, "worker") as worker:
        for line in sys.stdin:
            answer = worker.submit(_run, policies[line.strip()]).result()
            print(json.dumps(answer), flush=True)


def _policies(wanted: dict[str, str], sshd: list[str] | None) -> dict[str, Policy]:
    """Make the owner, the account and a policy for each name; its scripts are already in the folder."""
    owner = User.objects.create(username="bench")
    folder = folders.of(owner)
    there = _let_in(folder, Path(sshd[0]), int(sshd[1])) if sshd else Remote()
    account = Account.objects.create(
        owner=owner,
        name="bench",
        auth="keys",
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    )
    found = {}
    for name, instances in wanted.items():
        policy = Policy.objects.create(owner=owner, folder=folder, account=account, name=name)
        for instance in instances.split(","):
            remote = there if name.startswith("far") else Remote()
            target = PolicyTarget(policy=policy, instance_id=instance, region=REGION)
            target.remote = remote
            target.save()
        found[name] = policy
    return found


def _let_in(folder: Folder, sshd: Path, port: int) -> Remote:
    """Bring the key that the sshd accepts, approve its host, and return the way there."""
    keys.bring(folder, (sshd / "client_key").read_text(encoding="utf-8"), by=None)
    kind, key, *_ = (sshd / "host_key.pub").read_text(encoding="utf-8").split()
    SshHost.objects.create(
        folder=folder,
        name="127.0.0.1",
        port=port,
        state=HostState.APPROVED,
        key=f"{kind} {key}",
        added_at=clock.now(),
    )
    return Remote("ssh", getpass.getuser(), key="stored", host="127.0.0.1", port=port).filled()


def _run(policy: Policy) -> dict[str, Any]:
    """Run a policy to its end; return the hold as the engine measured it, in seconds."""
    policy.refresh_from_db()
    run = here.start_and_keep(policy=policy, trigger=Trigger.MANUAL)
    if run.consistency != Consistency.APPLICATION:
        message = f"The run is not consistent ({run.state}, {run.consistency}): {run.reason}"
        raise RuntimeError(message)
    return {"hold_seconds": run.hold_seconds}


if __name__ == "__main__":
    main()
