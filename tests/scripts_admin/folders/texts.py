"""Two scripts, and what is in a folder."""

import os

from scripts_admin.domain import texts
from scripts_admin.folders import storage
from scripts_admin.models import Folder

TEXT, OTHER = b"#!/bin/bash\ntrue\n", b"#!/bin/bash\nfalse\n"
VERSION = texts.digest(TEXT)


def left(folder: Folder) -> list[str]:
    return sorted(os.listdir(storage.path(folder)))  # noqa: PTH208 - names only
