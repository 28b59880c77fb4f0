"""Forms whose session ends while somebody fills them in: nothing that was typed is lost.

Each form has a signed field that names the person and the page. If it arrives without a session, what was typed waits
in the new session until that person has logged in, and the form is shown with it again. Secrets never wait.
"""

import secrets
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core import signing
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render

from policies.views import visitor
from scripts_admin.models import User

_Given = ParamSpec("_Given")
FIELD = "form_of"
_SALT, _KEY = "n2wbackup.form", "drafts"
_SIGNED_SECONDS = 7 * 24 * 3_600
_MOST_BYTES, _MOST_DRAFTS = 64 * 1024, 3
_NEVER_KEPT = ("secret", "password", "url", "csrf", FIELD)
BACK = (
    "Your session had ended, so nothing was saved. Here is what you typed: check it and save it again. "
    "Secrets were not kept."
)


def signature(person: User, path: str) -> str:
    """Return what a form carries to say whose it is, and of which page."""
    return signing.dumps([person.pk, path], salt=_SALT)


def on_every_page(request: HttpRequest) -> Mapping[str, Callable[[], str]]:
    """Let components/form_of.html have the signature of the page."""
    return {"form_signature": lambda: signature(visitor.person(request), request.path)}


def required(
    page: Callable[Concatenate[HttpRequest, _Given], HttpResponse],
) -> Callable[Concatenate[HttpRequest, _Given], HttpResponse]:
    """Let only people with a session in, as `login_required` does, and keep what the others typed."""

    @wraps(page)
    def guarded(
        request: HttpRequest, /, *given: _Given.args, **named: _Given.kwargs
    ) -> HttpResponse:
        if request.user.is_authenticated:
            return page(request, *given, **named)
        if getattr(request, "htmx", False):
            return redirect_to_login(request.get_full_path())
        return redirect_to_login(_kept(request) or request.get_full_path())

    return guarded


def sent(request: HttpRequest) -> QueryDict | None:
    """Return what a form begins with: what is sent now, or what was typed before the session ended."""
    return request.POST if request.method == "POST" else typed(request)


def typed(request: HttpRequest) -> QueryDict | None:
    """Return what the person had typed into this page before their session ended, if the address asks for it."""
    draft = request.session.get(_KEY, {}).get(request.GET.get("draft", ""))
    if draft is None or [draft["person"], draft["path"]] != [request.user.pk, request.path]:
        return None
    messages.warning(request, BACK)
    return QueryDict(draft["body"])


def forget(request: HttpRequest) -> None:
    """Drop the drafts: what was typed is saved."""
    request.session.pop(_KEY, None)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django's signature
    """Show the form again, with what was typed, to somebody who logged in meanwhile; else the usual page."""
    address = _kept(request) if request.user.is_authenticated else ""
    if address:
        return redirect(address)
    return render(request, "403_csrf.html", status=403)


def _kept(request: HttpRequest) -> str:
    """Keep what was typed, and return the address that shows it again; "" if the form is not one of ours."""
    person = _signed(request)
    if request.method != "POST" or person is None:
        return ""
    body = QueryDict(mutable=True)
    for name, values in request.POST.lists():
        if not any(word in name.lower() for word in _NEVER_KEPT):
            body.setlist(name, values)
    text = body.urlencode()
    if len(text) > _MOST_BYTES:
        return ""
    token = secrets.token_urlsafe(9)
    kept: dict[str, Any] = request.session.get(_KEY, {})
    newest = dict(list(kept.items())[-(_MOST_DRAFTS - 1) :])
    request.session[_KEY] = newest | {token: {"person": person, "path": request.path, "body": text}}
    return f"{request.path}?draft={token}"


def _signed(request: HttpRequest) -> int | None:
    """Return the person that the form was made for; None if it was not made by us, or for another page."""
    try:
        said = signing.loads(request.POST.get(FIELD, ""), salt=_SALT, max_age=_SIGNED_SECONDS)
    except signing.BadSignature:
        return None
    person, path = said
    if path != request.path or (request.user.is_authenticated and request.user.pk != person):
        return None
    return int(person)
