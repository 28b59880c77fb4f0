"""A page that only shows something takes no form: whoever adds one that does, names it here."""

import re
from http import HTTPStatus

import pytest
from django.test import Client

from tests.policies.views import matrix

FORMS = {"login/", "logout/", "theme/"}
_VALUES = {"uuid": "00000000-0000-4000-8000-000000000000", "int": "1", "str": "x", "path": "x"}


def _pages() -> list[str]:
    return [
        re.sub(r"<(\w+):\w+>", lambda part: _VALUES[part[1]], route)
        for route in matrix.routes()
        if route not in FORMS and not route.startswith("admin/")
    ]


@pytest.mark.parametrize("path", _pages())
def test_a_page_that_only_shows_something_takes_no_form(path: str) -> None:
    answer = Client().post(f"/{path}")

    assert answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED
