"""Accounts, alarms, schedules, policies and runs in the admin. Django imports this package, which registers them."""

from policies.admin import accounts, alarms, policies, runs, schedules

__all__ = ["accounts", "alarms", "policies", "runs", "schedules"]
