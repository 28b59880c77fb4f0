"""The admin pages and visitors who are not logged in."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.one_database

admin.autodiscover()
NAMES = [f"{m._meta.app_label}_{m._meta.model_name}" for m in admin.site._registry]


def test_its_own_login_page_is_shown_to_a_stranger(client: Client, db: None) -> None:
    response = client.get("/admin/", follow=True)

    assert response.status_code == 200
    assert b'name="username"' in response.content


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("view", ["changelist", "add"])
def test_a_stranger_is_sent_to_the_login_page(
    client: Client, db: None, name: str, view: str
) -> None:
    address = reverse(f"admin:{name}_{view}")

    response = client.get(address)

    assert response.status_code == 302
    assert response["Location"] == f"{reverse('admin:login')}?next={address}"
