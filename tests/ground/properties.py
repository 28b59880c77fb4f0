"""Hypothesis, without limits that depend on the machine's speed. Tests take it from here, never by itself.

A busy machine may need a second for what takes a millisecond elsewhere: that is no fault of the code.
"""

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

__all__ = ["HealthCheck", "example", "given", "settings", "st"]

settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anywhere")
