"""The admin of people and folders."""

from scripts_admin.admin import folders, hidden, people

__all__ = ["folders", "hidden", "people"]
