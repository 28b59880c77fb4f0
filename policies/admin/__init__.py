"""Importing this package registers accounts, alarms, schedules, policies, runs and servers; Django does it."""

from policies.admin import accounts, alarms, policies, runs, schedules, servers

__all__ = ["accounts", "alarms", "policies", "runs", "schedules", "servers"]
