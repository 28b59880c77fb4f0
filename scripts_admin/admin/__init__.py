"""The admin of people and folders."""

from scripts_admin.admin import folders, people

__all__ = ["folders", "people"]
