"""Accounts, policies and runs in the admin. Django imports this package, which registers them."""

from policies.admin import accounts, policies, runs

__all__ = ["accounts", "policies", "runs"]
