"""What every botocore session shares: the loader of the services' models, how times are read, and a lock.

EC2's model takes tens of megabytes for each other loader. Neither the loader nor the making of clients
is thread-safe; using clients is. Nobody asks AWS anything while holding the lock.
"""

import threading
from datetime import datetime
from functools import lru_cache
from typing import cast

import botocore.session
from botocore.loaders import Loader
from botocore.utils import parse_timestamp

MAKING = threading.Lock()
USER_AGENT = "n2wbackup"


@lru_cache(maxsize=1)
def _loader() -> Loader:
    return cast("Loader", botocore.session.Session().get_component("data_loader"))


def session() -> botocore.session.Session:
    """Return a new session with the SDK's default chain, as the environment (AWS_*) is now."""
    made = botocore.session.Session()
    made.register_component("data_loader", _loader())
    made.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    return made


def moment(text: str) -> datetime:
    """Return one of AWS's times; the SDK's own way takes many times as long, in the window too."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return parse_timestamp(text)
