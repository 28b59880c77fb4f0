"""The forms of script folders, whose typed text outlives the session as that of every other form does.

The pages are those of scripts_admin, which knows no drafts.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from policies.views import drafts, visitor
from scripts_admin.views import files, folders
from scripts_admin.views.reached import Draft

_REDIRECTED = 302


def _kept(
    page: Callable[..., HttpResponse], request: HttpRequest, owner: str, *rest: str
) -> HttpResponse:
    draft = Draft(
        drafts.typed(request) if request.method != "POST" else None,
        drafts.signature(visitor.person(request), request.path),
    )
    answer = page(request, owner, *rest, draft=draft)
    if request.method == "POST" and answer.status_code == _REDIRECTED:
        drafts.forget(request)
    return answer


@drafts.required
def new(request: HttpRequest, owner: str) -> HttpResponse:
    return _kept(files.new, request, owner)


@drafts.required
def edit(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    return _kept(files.edit, request, owner, name)


@drafts.required
def rename(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    return _kept(files.rename, request, owner, name)


@drafts.required
def copy(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    return _kept(files.copy, request, owner, name)


@drafts.required
def recipe(request: HttpRequest, owner: str, slug: str) -> HttpResponse:
    return _kept(folders.recipe, request, owner, slug)
