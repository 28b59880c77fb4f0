"""The script folder of the owner whom a command names."""

from policies.selectors import labels
from scripts_admin.models import ROOT, Folder
from scripts_admin.services import folders


def folder(name: str) -> Folder:
    """Return the user's folder; root's for `root` and for superusers. InputError if there is no such user."""
    return folders.root() if name == ROOT else folders.of(labels.user(name))
