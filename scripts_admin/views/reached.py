"""What a page of script folders is about, for somebody who may: 404 for everybody else, as if it did not exist."""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import Http404, HttpRequest, QueryDict

from scripts_admin import permissions
from scripts_admin.folders import looking
from scripts_admin.folders.looking import File, FileError
from scripts_admin.models import Folder, User

May = Callable[[User, Folder], bool]


def person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - login_required lets nobody else in
    return request.user


@dataclass(frozen=True, slots=True)
class Draft:
    """What outlives a session: `typed` before it ended, and the `signature` that the form carries for that."""

    typed: QueryDict | None = None
    signature: str = ""


NO_DRAFT = Draft()


def sent(request: HttpRequest, draft: Draft = NO_DRAFT) -> QueryDict | None:
    """Return the fields that were sent, even if these are none; else what was typed before a session ended."""
    return request.POST if request.method == "POST" else draft.typed


def folder(request: HttpRequest, owner: str, may: May = permissions.may_see) -> Folder:
    """Return the folder of that name if the person may do this with it."""
    found = Folder.objects.filter(name=owner).select_related("owner").first()
    if found is None or not may(person(request), found):
        raise Http404
    return found


def file(found: Folder, name: str) -> File:
    """Return the file; 404 if there is none of that name."""
    try:
        with looking.opened(found) as place:
            there = looking.read(place, name)
    except FileError:
        raise Http404 from None
    if there is None:
        raise Http404
    return there
