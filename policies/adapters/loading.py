"""What every botocore session shares: the loader of the services' models, and a lock.

EC2's model takes tens of megabytes for each other loader. Neither the loader nor the making of clients
is thread-safe; using clients is. Nobody asks AWS anything while holding the lock.
"""

import threading
from functools import lru_cache
from typing import cast

import botocore.session
from botocore.loaders import Loader

MAKING = threading.Lock()
USER_AGENT = "n2wbackup"


@lru_cache(maxsize=1)
def _loader() -> Loader:
    return cast("Loader", botocore.session.Session().get_component("data_loader"))


def session() -> botocore.session.Session:
    """Return a new session with the SDK's default chain, as the environment (AWS_*) is now."""
    made = botocore.session.Session()
    made.register_component("data_loader", _loader())
    return made
