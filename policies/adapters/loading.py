"""Shared parts of all botocore sessions: the loader of the services' models, the parser of times, a lock.

Each further loader would need tens of megabytes for EC2's model. Neither the loader nor the creation of
clients is thread-safe; the use of clients is. No caller calls AWS while it holds the lock.
"""

import threading
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

import botocore
import botocore.session
from botocore.exceptions import ConfigParseError, ProfileNotFound
from botocore.loaders import Loader
from botocore.utils import parse_timestamp

MAKING = threading.Lock()
# A whole one: what botocore would add of this machine, it would put together anew for each call.
USER_AGENT = f"n2wbackup Botocore/{botocore.__version__}"
# Every other region of the main partition is disabled until the account enables it.
ALWAYS_ON = frozenset(
    {
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
        "ca-central-1",
        "sa-east-1",
        "eu-central-1",
        "eu-north-1",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "ap-south-1",
        "ap-northeast-1",
        "ap-northeast-2",
        "ap-northeast-3",
        "ap-southeast-1",
        "ap-southeast-2",
    }
)


class _Forgiving(botocore.session.Session):
    """A session that needs no profile: one that is missing or broken counts as empty."""

    def get_scoped_config(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = super().get_scoped_config()
        except (ProfileNotFound, ConfigParseError):
            return {}
        return found

    @property
    def full_config(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = super().full_config
        except ConfigParseError:
            return {"profiles": {}}
        return found


@lru_cache(maxsize=1)
def _loader() -> Loader:
    return cast("Loader", _Forgiving().get_component("data_loader"))


def session(*, needs_profile: bool = True) -> botocore.session.Session:
    """Return a new session with the SDK's default chain, by the present environment (AWS_*).

    Without `needs_profile`, for who brings credentials, a broken profile or AWS configuration does not matter.
    """
    made = botocore.session.Session() if needs_profile else _Forgiving()
    made.register_component("data_loader", _loader())
    made.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    return made


def moment(text: str) -> datetime:
    """Parse one of AWS's times; the SDK's own parser is many times slower, also in the window."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return parse_timestamp(text)


@lru_cache(maxsize=1)
def known_regions() -> frozenset[str]:
    """Return the regions in which this SDK knows EC2, of all partitions."""
    made = _Forgiving()
    return frozenset(
        region
        for partition in made.get_available_partitions()
        for region in made.get_available_regions("ec2", partition)
    )
