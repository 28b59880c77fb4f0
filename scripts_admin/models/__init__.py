"""Users and their script folders in the database."""

from scripts_admin.models.audit import AuditEntry
from scripts_admin.models.failed_logins import FailedLogins
from scripts_admin.models.first_link import FirstLink
from scripts_admin.models.folder import (
    ROOT,
    Folder,
    FolderGroupPermission,
    FolderQuerySet,
    FolderUserPermission,
    FormerFolder,
)
from scripts_admin.models.ssh import HostQuestion, HostState, SshHost, SshKey
from scripts_admin.models.user import User
from scripts_admin.models.version import ScriptApproval, ScriptText, ScriptVersion

__all__ = [
    "ROOT",
    "AuditEntry",
    "FailedLogins",
    "FirstLink",
    "Folder",
    "FolderGroupPermission",
    "FolderQuerySet",
    "FolderUserPermission",
    "FormerFolder",
    "HostQuestion",
    "HostState",
    "ScriptApproval",
    "ScriptText",
    "ScriptVersion",
    "SshHost",
    "SshKey",
    "User",
]
