"""What holds for every page: refusals, headers, the end of an idle session, and each person's share of the threads."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import render, resolve_url

from n2wbackup import health
from n2wbackup.lib import clock
from n2wbackup.processes import budgets
from scripts_admin.domain.audit import Source
from scripts_admin.models import User
from scripts_admin.services import audit
from scripts_admin.services.audit import Edge

Page = Callable[[HttpRequest], HttpResponse]

_METHODS = ("GET", "HEAD", "POST")
ENDED = "session_ended"  # tells the login page why the person has to log in again
_BEGAN, _SEEN = "began_at", "seen_at"
_HTMX, _STOPS = "HX-Request", 286  # the status at which htmx stops to poll
_NOTED_EVERY_SECONDS = 60  # a write for each page would be too much


def pack_pages(get_response: Page) -> Page:
    """Pack each page for browsers that take it so. Streams and files are left as they are: docs/adr/0089-*.md."""
    packer = GZipMiddleware(get_response)

    def page(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if response.streaming or not is_page:
            return response
        packed = packer.process_response(request, response)
        assert isinstance(packed, HttpResponse)  # noqa: S101 - as it was before
        return packed

    return page


def refuse_methods(get_response: Page) -> Page:
    """Answer 405 to a method that no address takes: the admin would treat it as a GET."""

    def page(request: HttpRequest) -> HttpResponse:
        if request.method not in _METHODS:
            return HttpResponseNotAllowed(_METHODS)
        return get_response(request)

    return page


def refuse_null(get_response: Page) -> Page:
    """Refuse a zero byte in an address or a cookie: no row can contain one, and PostgreSQL would break the page."""

    def page(request: HttpRequest) -> HttpResponse:
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            raise SuspiciousOperation("the address contains a zero byte")
        if any("\0" in value for value in request.COOKIES.values()):
            raise SuspiciousOperation("a cookie contains a zero byte")
        return get_response(request)

    return page


def add_headers(get_response: Page) -> Page:
    """Add the headers that Django does not know.

    HSTS is added to every answer: behind a proxy that ends TLS, Django sees plain HTTP and would leave it out.
    Browsers ignore it in an answer that came over plain HTTP.
    """

    def page(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        if settings.SECURE_HSTS_SECONDS:
            value = f"max-age={settings.SECURE_HSTS_SECONDS}"
            response.headers.setdefault("Strict-Transport-Security", value)
        return response

    return page


def end_idle_sessions(get_response: Page) -> Page:
    """Log a person out who has not asked for a page for long, or who logged in very long ago.

    An open page that polls is not a person who asks: docs/adr/0088-*.md.
    """

    def page(request: HttpRequest) -> HttpResponse:
        if SESSION_KEY in request.session:
            now = int(clock.now().timestamp())
            if _is_over(request, now):
                logout(request)
                request.session[ENDED] = True
            elif not _polls(request) and _is_noted(request, now):
                request.session[_SEEN] = now
                request.session.setdefault(_BEGAN, now)
                request.session.pop(ENDED, None)
        return get_response(request)

    return page


def _polls(request: HttpRequest) -> bool:
    """Tell whether a page asks by itself for what moves on it; what a person does with a part is sent by POST."""
    return request.method == "GET" and _HTMX in request.headers


def _is_noted(request: HttpRequest, now: int) -> bool:
    return bool(abs(now - request.session.get(_SEEN, 0)) >= _NOTED_EVERY_SECONDS)


def _is_over(request: HttpRequest, now: int) -> bool:
    seen, began = request.session.get(_SEEN, now), request.session.get(_BEGAN, now)
    idle = now - seen > settings.N2W_SESSION_IDLE_MINUTES * 60
    return bool(idle or now - began > settings.SESSION_COOKIE_AGE)


def tell_open_pages(get_response: Page) -> Page:
    """Say on an open page that the session has ended: a part of it must not become the login page.

    The part stops polling, and it and whatever was typed beside it stay as they are.
    """

    def page(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if (
            _HTMX not in request.headers
            or request.user.is_authenticated
            or not _leads_to_login(response)
        ):
            return response
        asked: Any = getattr(request, "htmx", None)
        context = {"back": (asked and asked.current_url_abs_path) or "/"}
        answer = render(request, "components/session_ended.html", context, status=_STOPS)
        answer["HX-Retarget"], answer["HX-Reswap"] = "#session", "innerHTML"
        return answer

    return page


def _leads_to_login(response: HttpResponse) -> bool:
    target = response.headers.get("Location", "").partition("?")[0]
    return response.status_code == HTTPStatus.FOUND and target == resolve_url(settings.LOGIN_URL)


def say_who(get_response: Page) -> Page:
    """Tell the audit who asks, from where, and in which part of the product. The services enter what is done."""

    def page(request: HttpRequest) -> HttpResponse:
        edge = Edge(
            _source(request.path),
            address=str(request.META.get("REMOTE_ADDR", "")),
            name=audit.NOBODY,
            person=lambda: request.user if isinstance(request.user, User) else None,
        )
        with audit.coming_from(edge):
            return get_response(request)

    return page


def _source(path: str) -> Source:
    if path.startswith("/admin/"):
        return Source.ADMIN
    return Source.API if path.startswith("/api/") else Source.PAGE


def share_threads(get_response: Page) -> Page:
    """Let one person, or all who are not logged in, have half of the threads at most; others still get their pages.

    Health has a share of its own: a balancer must not hear from it that somebody asks for many pages. A stream
    takes its thread until it has ended.
    """
    counting, working = threading.Lock(), Counter[str]()

    def leave(who: str) -> None:
        with counting:
            working[who] -= 1
            if not working[who]:
                del working[who]

    def page(request: HttpRequest) -> HttpResponse:
        who = _whose_share(request)
        with counting:
            is_too_much = working[who] >= budgets.THREADS // 2
            working[who] += not is_too_much
        if is_too_much:
            return render(request, "429.html", status=429)
        with ExitStack() as stack:
            stack.callback(leave, who)
            response: Any = get_response(request)
            if response.streaming:
                response.streaming_content = _Held(response.streaming_content, stack.pop_all())
            return response  # type: ignore[no-any-return] # as the pages above give it

    return page


class _Held:
    """A stream that gives something back when it is closed, read to its end or not; the server always closes it."""

    def __init__(self, stream: Iterator[bytes], stack: ExitStack) -> None:
        self._stream, self._stack = stream, stack

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        self._stack.close()


def _whose_share(request: HttpRequest) -> str:
    if request.path == health.READY_PATH:
        return request.path
    return str(request.session.get(SESSION_KEY, ""))
