"""What these tests stand on."""

from tests.policies.fixtures import (
    backup,
    cloud,
    courier,
    elsewhere,
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
    "elsewhere",
    "hook",
    "loopback",
    "one_connection",
    "own_home",
    "real_courier",
]
