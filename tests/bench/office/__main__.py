"""The bench's access to the server's database: it enters policies, starts runs and reports their states.

`python -m tests.bench.office`: a line of JSON in, {"do": …}, is an order; a line of JSON out is its answer.
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import django

django.setup()

# Models can be imported only now.
from django.core.management import call_command  # noqa: E402

from tests.bench.office import desk, following  # noqa: E402

ORDERS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "enter": desk.enter,
    "start": desk.start,
    "make_due": desk.make_due,
    "standing": desk.standing,
    "begun": desk.begun,
    "crowd": desk.crowd,
    "outcome": desk.outcome,
    "follow": following.follow,
}


def main() -> None:
    """Set the database up, report that it is ready, and serve."""
    call_command("migrate", verbosity=0)
    print("{}", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(ORDERS[order.pop("do")](**order)), flush=True)


if __name__ == "__main__":
    main()
