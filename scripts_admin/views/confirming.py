"""Before secrets and rights a person shows once more who they are."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

View = Callable[..., HttpResponse]

_LOGIN_AT_PROVIDER = "socialaccount"  # allauth's word
# Whoever opened a form in time may take this much longer to fill it.
_FORM_SECONDS = 1_800


def confirmed(view: View) -> View:
    """Ask for the password or the second factor, unless the person showed one in the last ten minutes.

    A login with one of them counts. A login by an OpenID provider does not, because it may have let the person in
    without a question; a way there that made it ask does. A form that was opened in time may be sent for half an hour
    more. What was sent too late is not kept anywhere, because it may hold a secret: the person confirms, and gets the
    form again.
    """

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ANN401 - the view's own
        if is_confirmed(request):
            return view(request, *args, **kwargs)
        if request.method not in {"GET", "HEAD"}:
            messages.warning(request, "Nothing was done: confirm who you are, then do it again.")
        ways = get_adapter().get_reauthentication_methods(request.user)
        way = ways[0]["url"] if ways else reverse("account_login")
        back = request.get_full_path() if request.method == "GET" else _form_of(request)
        return redirect(f"{way}?{urlencode({'next': back})}")

    return login_required(page)


def is_confirmed(request: HttpRequest) -> bool:
    records = get_authentication_records(request, request.user)
    shown = [record["at"] for record in records if record["method"] != _LOGIN_AT_PROVIDER]
    allowed = settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    if request.method == "POST":
        allowed += _FORM_SECONDS
    return bool(shown) and 0 <= time.time() - max(shown) < allowed


def _form_of(request: HttpRequest) -> str:
    """Return the page with the form: the one that the view names in `form_page`, else the address itself."""
    found = request.resolver_match.func if request.resolver_match else None
    named = getattr(found, "form_page", None)
    return str(named(request)) if named else request.path
