"""Shared parts of all botocore sessions: the loader of the services' models, the parser of times, a lock.

Each further loader would need tens of megabytes for EC2's model. Neither the loader nor the creation of
clients is thread-safe; the use of clients is. No caller calls AWS while it holds the lock.
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
    """Return a new session with the SDK's default chain, by the present environment (AWS_*)."""
    made = botocore.session.Session()
    made.register_component("data_loader", _loader())
    made.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    return made


def moment(text: str) -> datetime:
    """Parse one of AWS's times; the SDK's own parser is many times slower, also in the window."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return parse_timestamp(text)
