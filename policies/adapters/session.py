"""Access to an account's AWS: one `Ec2Cloud` for each set of credentials."""

import os
import threading
from functools import lru_cache

from policies.ports import Cloud, Credentials

_CLOUDS = 64  # clients of a region take about 3 MB; the least recently used are dropped
_lock = threading.Lock()


def cloud(credentials: Credentials) -> Cloud:
    """Return the account's AWS: the same object for the same credentials and AWS_* environment.

    It makes no call and raises nothing; wrong credentials fail at the first call. Thread-safe. Do not
    call it inside a window: it takes a lock.
    """
    environment = tuple(sorted(each for each in os.environ.items() if each[0].startswith("AWS_")))
    with _lock:
        return _cloud(credentials, environment)


@lru_cache(maxsize=_CLOUDS)
def _cloud(credentials: Credentials, _environment: tuple[tuple[str, str], ...]) -> Cloud:
    # The SDK takes a fifth of a process's start, and most processes and commands never call AWS.
    from policies.adapters.clients import Clients  # noqa: PLC0415
    from policies.adapters.ec2 import Ec2Cloud  # noqa: PLC0415

    return Ec2Cloud(Clients(credentials))
