"""What a run costs, by step and by place: `python -m tests.bench.profile [--runs N] [--together N] [--texts]`.

Policies of one instance with four volumes and three scripts, taken from due to its end in this process, step by step,
as beat and the workers do it; the statements, commits, calls and CPU seconds of each step. Celery is not in it.
"""

import argparse
import os
import tempfile
from pathlib import Path

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from tests.bench.served import environment_of

VOLUMES = 4


def main() -> None:
    """Prepare an account and a home of its own, measure in it, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="so many runs are measured")
    parser.add_argument(
        "--together", type=int, default=1, metavar="N", help="so many policies run at the same time"
    )
    parser.add_argument("--json", action="store_true", help="print the totals alone, as JSON")
    parser.add_argument("--texts", action="store_true", help="show each statement of one run")
    parser.add_argument(
        "--functions", default="", metavar="STEP", help="show where this step's CPU time goes"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="n2wbackup-profile-") as folder:
        home = Path(folder)
        with SimulatedAws(
            home / "aws",
            pending_seconds=0,
            rate_buckets={},
            per_volume_interval_seconds=0,
            pending_per_volume=0,
        ) as aws:
            database = os.environ.get("DATABASE_URL", "")
            os.environ.update(environment_of(aws, home))
            if database:
                os.environ["DATABASE_URL"] = database
            specs = [VolumeSpec() for _ in range(VOLUMES)]
            instances = [aws.add_instance(volumes=specs).instance_id for _ in range(given.together)]
            # Django reads its settings at the import.
            from tests.bench.profile import one_run  # noqa: PLC0415

            policies = one_run.prepare(instances)
            if given.json:
                one_run.tell(policies, given.runs)
            else:
                one_run.show(policies, given.runs, texts=given.texts, functions=given.functions)


if __name__ == "__main__":
    main()
