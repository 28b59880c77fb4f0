"""A page that only shows something takes no form: whoever adds one that does, names it here."""

import re
from http import HTTPStatus

import pytest
from django.test import Client

from tests.policies.views import matrix
from tests.policies.views.test_permission_matrix import EXPECTED

# Besides those that the permission matrix shows to change something.
FORMS = ("login/", "logout/", "theme/", "first/", "invited/", "profile/", "people/")
ALSO_FORMS = {"accounts/<str:owner>/<str:name>/test/"}  # it asks AWS, and changes nothing
_VALUES = {
    "uuid": "00000000-0000-4000-8000-000000000000",
    "int": "1",
    "str": "x",
    "path": "x",
    "slug": "x",
}


def _pages() -> list[str]:
    return [
        re.sub(r"<(\w+):\w+>", lambda part: _VALUES[part[1]], route)
        for route in matrix.routes()
        if not route.startswith((*FORMS, "admin/")) and route not in ALSO_FORMS
        if "W" not in EXPECTED[route]
    ]


@pytest.mark.parametrize("path", _pages())
def test_a_page_that_only_shows_something_takes_no_form(path: str) -> None:
    answer = Client().post(f"/{path}")

    assert answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED
