"""Importing this package registers accounts, alarms, schedules, policies and runs; Django does it."""

from policies.admin import accounts, alarms, policies, runs, schedules

__all__ = ["accounts", "alarms", "policies", "runs", "schedules"]
