"""The fixtures of these tests."""

from tests.policies.fixtures import (
    backup,
    cloud,
    courier,
    hook,
    loopback,
    one_connection,
    own_home,
    real_courier,
)

__all__ = [
    "backup",
    "cloud",
    "courier",
    "hook",
    "loopback",
    "one_connection",
    "own_home",
    "real_courier",
]
