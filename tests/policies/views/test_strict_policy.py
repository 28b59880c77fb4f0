"""No page needs what the content security policy forbids: inline scripts, inline styles, anything from elsewhere."""

import pytest

from tests.policies.views import matrix
from tests.policies.views.page import Page


def forbidden(page: Page) -> list[str]:
    """Return each part of the page that a browser would refuse."""
    found = []
    for tag, attrs in page.tags:
        address = attrs.get("src") or (attrs.get("href") if tag == "link" else None) or "/"
        inline = tag == "script" and "src" not in attrs and attrs.get("type") != "application/json"
        handlers = [name for name in attrs if name == "style" or name.startswith("on")]
        if tag == "style" or inline or handlers or not address.startswith("/"):
            found.append(f"<{tag} {attrs}>")
    return found


@pytest.mark.django_db  # on each database: here every page is asked as a whole
def test_every_page_keeps_to_the_policy() -> None:
    world = matrix.made()
    seen, found = 0, {}
    for route in matrix.routes():
        for who in ("nobody", "boss"):
            address = matrix.path(world, route)
            answer = world.clients[who].get(address)
            if answer.headers.get("Content-Type", "").startswith("text/html"):
                seen += 1
                found[address] = forbidden(Page(answer.content.decode()))
                assert "'unsafe" not in answer["Content-Security-Policy"]
            world.clients["boss"].force_login(world.people["boss"])

    assert {address: parts for address, parts in found.items() if parts} == {}
    assert seen > 60


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<p style='color: red'>",
        "<a href='/' onclick='x()'>",
        "<style>p {}</style>",
        "<script src='https://elsewhere.example/x.js'></script>",
        "<img src='data:image/png;base64,AA'>",
        "<link rel='stylesheet' href='https://elsewhere.example/x.css'>",
    ],
)
def test_what_a_browser_would_refuse_is_found(html: str) -> None:
    assert len(forbidden(Page(html))) == 1
