"""Files that are sent to a browser while they are read: few at the same time, none for ever, none shown as a page."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render

from n2wbackup.processes import budgets
from policies.domain.browsing import names
from policies.domain.browsing.ranges import Wanted
from policies.services.browsing.using import Download

_RETRY_SECONDS = 30


class TooLongError(Exception):
    """A download took longer than one may: what was sent is not all of it, and the client sees that."""


class Places:
    """The downloads of this process: so many in all, and fewer of one person."""

    def __init__(self, most: int, of_one: int) -> None:
        """All are free."""
        self._most, self._of_one = most, of_one
        self._lock, self._taken = threading.Lock(), Counter[int]()

    def take(self, person: int) -> bool:
        with self._lock:
            if self._taken.total() >= self._most or self._taken[person] >= self._of_one:
                return False
            self._taken[person] += 1
            return True

    def give_back(self, person: int) -> None:
        with self._lock:
            self._taken[person] -= 1
            self._taken += Counter()  # forget those who have none


PLACES = Places(budgets.DOWNLOADS, budgets.DOWNLOADS_OF_ONE)


class _Sent:
    """What is sent. It is closed by the server in any case, read to its end or not, or never begun."""

    def __init__(self, pieces: Iterator[bytes], over: Callable[[], None]) -> None:
        self._pieces, self._over = pieces, over
        self._until = time.monotonic() + budgets.DOWNLOAD_SECONDS

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if time.monotonic() > self._until:
                raise TooLongError
            yield piece

    def close(self) -> None:
        over, self._over = self._over, _nothing
        try:
            close = getattr(self._pieces, "close", _nothing)
            close()
        finally:
            over()


def _nothing() -> None:
    """Do nothing: it is over already."""


def answer(
    request: HttpRequest, person: int, begin: Callable[[], Download]
) -> HttpResponse | StreamingHttpResponse:
    """Send what `begin` begins; 429 where too many downloads go on. HEAD begins nothing."""
    if request.method == "HEAD":
        return HttpResponse(content_type="application/octet-stream")
    if not PLACES.take(person):
        answer = render(request, "policies/files/busy.html", status=HTTPStatus.TOO_MANY_REQUESTS)
        answer["Retry-After"] = str(_RETRY_SECONDS)
        return answer
    try:
        found = begin()
    except BaseException:
        PLACES.give_back(person)
        raise
    sent = _Sent(found.pieces, lambda: PLACES.give_back(person))
    return _headed(StreamingHttpResponse(sent, content_type="application/octet-stream"), found)


def wanted(request: HttpRequest) -> Wanted:
    """Return which part of a file the browser asks for: the rest of one that was cut."""
    return Wanted(request.headers.get("Range", ""), request.headers.get("If-Range", ""))


def _headed(answer: StreamingHttpResponse, found: Download) -> StreamingHttpResponse:
    """Keep a browser from taking what strangers wrote for a page of ours, whatever it thinks that it is."""
    answer["Content-Disposition"] = names.disposition(found.name)
    answer["Content-Security-Policy"] = "sandbox; default-src 'none'"
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Cache-Control"] = "no-store"
    if found.size is not None:
        answer["Accept-Ranges"], answer["ETag"] = "bytes", found.tag
        answer["Content-Length"] = str(max(0, found.size - found.start))
    if found.size is not None and found.start >= found.size > 0:
        answer.status_code = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        answer["Content-Range"] = f"bytes */{found.size}"
    elif found.size is not None and found.start:
        answer.status_code = HTTPStatus.PARTIAL_CONTENT
        answer["Content-Range"] = f"bytes {found.start}-{found.size - 1}/{found.size}"
    return answer
