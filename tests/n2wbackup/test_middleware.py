"""Headers of every answer, zero bytes in addresses, and the end of an idle session."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings

from n2wbackup import middleware
from n2wbackup.processes import budgets
from policies.selectors import runs
from scripts_admin.models import User
from tests.ground import processes
from tests.ground.leeway import LEEWAY

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
IDLE = timedelta(minutes=60)


@pytest.fixture
def time() -> Iterator[time_machine.Traveller]:
    with time_machine.travel("2026-12-01T10:00:00Z", tick=False) as traveller:
        yield traveller


@pytest.fixture
def client(time: time_machine.Traveller) -> Client:
    client = Client()
    client.force_login(User.objects.create(username="alice"))
    return client


@pytest.mark.parametrize(
    "path",
    ["/login/", "/runs/", "/no-such-page/", "/health/live", "/admin/", "/static/n2wbackup.css"],
)
def test_every_answer_has_the_headers(client: Client, path: str) -> None:
    answer = client.get(path)

    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "camera=()" in answer["Permissions-Policy"]
    if not path.startswith("/static/"):
        assert answer["X-Content-Type-Options"] == "nosniff"
    answer.close()


def test_hsts_is_told_behind_a_proxy_that_ends_tls(client: Client, settings: Settings) -> None:
    assert "Strict-Transport-Security" not in client.get("/login/")

    settings.SECURE_HSTS_SECONDS = 31_536_000

    assert Client().get("/login/")["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(
    "path", ["/policies/a%00/b/", "/runs/?page=%00", "/admin/?q=a%00", "/login/?next=%00"]
)
def test_a_zero_byte_in_an_address_is_refused(client: Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 400
    assert b"The request was not understood" in answer.content


def test_an_idle_session_ends_and_the_login_page_says_why(
    client: Client, time: time_machine.Traveller
) -> None:
    assert client.get("/runs/").status_code == 200
    time.shift(IDLE + timedelta(minutes=2))

    answer = client.get("/runs/", follow=True)

    assert answer.redirect_chain == [("/login/?next=/runs/", 302)]
    assert b"Your session has ended" in answer.content
    assert client.get("/runs/").status_code == 302


def test_a_session_that_is_used_goes_on(client: Client, time: time_machine.Traveller) -> None:
    for _ in range(10):
        assert client.get("/runs/").status_code == 200
        time.shift(IDLE - timedelta(minutes=2))


def test_no_session_is_longer_than_a_working_day(
    client: Client, time: time_machine.Traveller
) -> None:
    for _ in range(12 * 4):
        assert client.get("/runs/").status_code == 200
        time.shift(timedelta(minutes=15))

    time.shift(timedelta(minutes=1))

    assert client.get("/runs/").status_code == 302


def test_a_new_login_after_the_end_is_a_new_session(
    client: Client, time: time_machine.Traveller
) -> None:
    client.get("/runs/")
    time.shift(timedelta(hours=13))
    client.get("/runs/")
    client.force_login(User.objects.get())

    assert client.get("/runs/").status_code == 200
    assert b"Your session has ended" not in client.get("/login/").content


def test_a_session_is_written_once_a_minute_and_not_for_each_page(
    client: Client, time: time_machine.Traveller
) -> None:
    client.get("/runs/")
    assert "sessionid" not in client.get("/runs/").cookies

    time.shift(61)

    assert "sessionid" in client.get("/runs/").cookies


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/no-such-page/", 404, "The page does not exist, or it belongs to another user."),
        ("/runs/00000000-0000-0000-0000-000000000000/", 404, "There is no such page"),
    ],
)
def test_an_error_has_a_page_that_says_what_to_do(
    client: Client, path: str, status: int, sentence: str
) -> None:
    answer = client.get(path)

    assert answer.status_code == status
    assert sentence in answer.content.decode()


def test_a_form_without_its_token_is_explained() -> None:
    answer = Client(enforce_csrf_checks=True).post("/login/", {"username": "a", "password": "b"})

    assert answer.status_code == 403
    assert b"Reload the page and send the form again." in answer.content


def test_a_page_that_breaks_says_so_and_shows_nothing_of_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(runs, "listed", broken)
    client.raise_request_exception = False

    answer = client.get("/runs/")

    assert answer.status_code == 500
    assert b"Backups do not depend on it and continue." in answer.content
    assert b"secret" not in answer.content


def test_what_a_person_may_not_do_is_explained(client: Client) -> None:
    User.objects.update(is_staff=True)

    answer = client.get("/admin/policies/policy/")

    assert answer.status_code == 403
    assert b"Your user lacks the permission, so nothing was changed." in answer.content


def test_another_host_name_is_refused_with_a_page(client: Client) -> None:
    answer = client.get("/login/", headers={"host": "evil.example"})

    assert answer.status_code == 400
    assert b"The request was not understood" in answer.content


class Pages:
    """Pages that come only when they may, behind the middleware."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.working: list[str] = []
        self.page = middleware.share_threads(self._work)

    def _work(self, request: HttpRequest) -> HttpResponse:
        self.working.append(request.path)
        self.may_end.wait(LEEWAY)
        return HttpResponse("page")

    def get(self, who: str = "", path: str = "/runs/") -> int:
        request = RequestFactory().get(path)
        request.session = {SESSION_KEY: who} if who else {}  # type: ignore[assignment] # all that is read
        return self.page(request).status_code


@pytest.mark.parametrize("greedy", ["1", ""])
def test_nobody_gets_more_than_half_of_the_threads(greedy: str) -> None:
    pages, share = Pages(), budgets.THREADS // 2
    with ExitStack() as stack:
        for _ in range(share):
            thread = threading.Thread(target=pages.get, args=(greedy,))
            thread.start()
            stack.callback(thread.join)
        stack.callback(pages.may_end.set)
        processes.wait_until(lambda: len(pages.working) == share, seconds=LEEWAY, what="work")

        assert pages.get(greedy) == 429
        pages.may_end.set()
        assert pages.get("2") == 200
        assert pages.get(greedy, "/health/ready") == 200

    assert pages.get(greedy) == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize(
    "path", ["/", "/runs/", "/policies/", "/login/", "/admin/", "/no/such/", "/health/ready"]
)
def test_a_method_that_no_address_has_is_refused(client: Client, path: str, method: str) -> None:
    answer = client.generic(method, path)

    assert answer.status_code == 405
    assert set(answer["Allow"].split(", ")) >= {"GET", "HEAD"}
    assert "Permissions-Policy" in answer


@pytest.mark.parametrize("path", ["/", "/runs/", "/policies/", "/schedules/"])
def test_a_page_that_only_shows_something_takes_no_form(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


@pytest.mark.parametrize("name", ["sessionid", "csrftoken", "messages", "other"])
def test_a_cookie_with_a_zero_byte_is_refused(name: str) -> None:
    answer = Client().get("/login/", headers={"cookie": rf'{name}="a\000b"'})

    assert answer.status_code == 400


def test_a_stream_takes_its_thread_until_it_is_closed() -> None:
    def stream(_: HttpRequest) -> Any:
        return StreamingHttpResponse(iter([b"a", b"b"]))

    share = middleware.share_threads(stream)
    request = RequestFactory().get("/runs/csv/")
    request.session = {SESSION_KEY: "1"}  # type: ignore[assignment] # all that is read
    open_ones = [share(request) for _ in range(budgets.THREADS // 2)]

    assert share(request).status_code == 429
    assert b"".join(open_ones[0]) == b"ab"
    open_ones[0].close()
    assert share(request).status_code == 200


HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/runs/?state=failed"}


def test_an_open_page_that_polls_does_not_keep_its_session(
    client: Client, time: time_machine.Traveller
) -> None:
    client.get("/runs/")
    for _ in range(6):
        time.shift(timedelta(minutes=10))
        assert client.get("/frozen/", headers=HTMX).status_code == 204
    time.shift(timedelta(minutes=1))

    assert client.get("/frozen/", headers=HTMX).status_code == 286, "htmx stops to poll"


def test_an_open_page_says_that_its_session_has_ended(client: Client) -> None:
    client.logout()
    for method, path in (("get", "/"), ("get", "/frozen/"), ("post", "/policies/new/")):
        answer = getattr(client, method)(path, headers=HTMX)
        assert (answer.status_code, answer["HX-Retarget"]) == (286, "#session"), path
        assert b"Your session has ended" in answer.content
        assert b"/login/?next=/runs/%3Fstate%3Dfailed" in answer.content
        assert b"<html" not in answer.content
    assert client.get("/").status_code == 302
