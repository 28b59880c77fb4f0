"""The choice of colours: kept in the browser, never an open door to another site."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def chosen(client: Client, theme: str, back: str = "/login/") -> tuple[int, str]:
    answer = client.post("/theme/", {"theme": theme, "next": back})
    return answer.status_code, answer.headers.get("Location", "")


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_the_chosen_colours_are_on_the_next_page(theme: str) -> None:
    client = Client()

    assert chosen(client, theme) == (302, "/login/")

    assert f'data-bs-theme="{theme}"' in client.get("/login/").content.decode()


def test_a_page_follows_the_system_until_somebody_chooses() -> None:
    assert 'data-bs-theme="auto"' in Client().get("/login/").content.decode()


def test_colours_that_nobody_knows_change_nothing() -> None:
    client = Client()

    status, _ = chosen(client, '"><svg onload=alert(1)>')

    assert status == 400
    assert not client.cookies


def test_a_cookie_that_somebody_wrote_by_hand_is_not_believed() -> None:
    client = Client()
    client.cookies["theme"] = "x onload=alert"

    assert 'data-bs-theme="auto"' in client.get("/login/").content.decode()


@pytest.mark.parametrize(
    "back", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)", ""]
)
def test_the_way_back_stays_on_this_server(back: str) -> None:
    assert chosen(Client(), "dark", back) == (302, "/")
