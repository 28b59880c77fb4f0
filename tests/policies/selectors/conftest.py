"""The fixtures of these tests."""

from tests.policies.fixtures import backup, cloud, hook, loopback, one_connection, own_home

__all__ = ["backup", "cloud", "hook", "loopback", "one_connection", "own_home"]
