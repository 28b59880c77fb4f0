"""What a request names as the key of a row may be any text: it is another row's, or none."""

import pytest
from django.test import Client

from policies.models import Policy
from tests import factories

pytestmark = pytest.mark.django_db
ENDLESS = "9" * 5000  # more digits than Python reads


def test_a_number_without_end_is_no_row() -> None:
    policy: Policy = factories.PolicyFactory.create()
    client = Client()
    client.force_login(policy.owner)
    for page in (f"/policies/{policy.owner.username}/{policy.name}/edit/", "/policies/new/"):
        answer = client.post(page, {"account": ENDLESS, "name": "x", "do": "check"})
        assert answer.status_code == 200, page
    assert client.get(f"/invited/{ENDLESS}.x/").status_code == 404
    assert client.post("/coverage/decide/", {"item": ENDLESS}).status_code in {302, 404}
