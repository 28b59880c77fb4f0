"""The old name of `thaw_abandoned`, kept for scripts and units that call it."""

from policies.management.commands.thaw_abandoned import Command

__all__ = ["Command"]
