"""The fixtures of these tests."""

from tests.policies.fixtures import backup, cloud, courier, one_connection, own_home

__all__ = ["backup", "cloud", "courier", "one_connection", "own_home"]
