"""Accounts, schedules, policies and runs in the admin. Django imports this package, which registers them."""

from policies.admin import accounts, policies, runs, schedules

__all__ = ["accounts", "policies", "runs", "schedules"]
