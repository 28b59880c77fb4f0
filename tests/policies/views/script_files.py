"""Alice's script folder, as each try of the permission matrix finds it."""

import os
import shutil

from django.core.files.uploadedfile import SimpleUploadedFile

from scripts_admin.domain import texts
from scripts_admin.folders import recipes, storage
from scripts_admin.models import Folder

NAME, TEXT = "before_policy1.sh", b"#!/bin/sh\ntrue\n"
VERSION = texts.digest(TEXT)
HIDDEN = ".deleted-1764360000-old.sh"
_FILE, _FOLDER = "scripts/<str:owner>/files/<str:name>/", "scripts/<str:owner>/"
RECIPE = "generic"


def lay() -> None:
    """Let the folder have exactly one script, and one that was deleted."""
    place = storage.path(Folder.objects.get(owner__username="alice"))
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name in (NAME, HIDDEN):
        (place / name).write_bytes(TEXT)


def changed() -> bool:
    """Tell whether a file has changed since."""
    place = storage.path(Folder.objects.get(owner__username="alice"))
    there = sorted(os.listdir(place))  # noqa: PTH208 - names only
    script = place / NAME
    is_other = there != sorted((NAME, HIDDEN)) or script.read_bytes() != TEXT
    return is_other or bool(script.stat().st_mode & 0o111)


def forms() -> dict[str, dict[str, object]]:
    """Return what would change a file, by page."""
    recipe = recipes.named(RECIPE)
    assert recipe
    return {
        f"{_FILE}edit/": {"text": "#!/bin/sh\nfalse\n", "opened": VERSION},
        f"{_FILE}rename/": {"name": "renamed.sh", "opened": VERSION},
        f"{_FILE}copy/": {"name": "copied.sh", "policy": "", "opened": VERSION},
        f"{_FILE}delete/": {"opened": VERSION},
        f"{_FILE}executable/": {"opened": VERSION},
        f"{_FOLDER}new/": {"name": "after_policy1.sh", "text": "#!/bin/sh\n"},
        f"{_FOLDER}undo/": {"hidden": HIDDEN},
        f"{_FOLDER}upload/": {"files": SimpleUploadedFile("new.sh", b"#!/bin/sh\n")},
        f"{_FOLDER}recipes/<slug:slug>/": {
            "policy": "busy",
            **{f"s_{each.name}": each.value for each in recipe.settings},
        },
    }
