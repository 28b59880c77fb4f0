"""The servers in the admin: a page to read, for those who look after the machines."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from n2wbackup.lib import home
from policies.models import Server
from policies.services.servers import heart
from scripts_admin.models import User

pytestmark = pytest.mark.django_db
LIST = "/admin/policies/server/"


@pytest.fixture
def server() -> Server:
    heart.beat()
    return Server.objects.get()


def test_a_superuser_sees_the_servers_and_changes_nothing(
    client: Client, boss: User, server: Server
) -> None:
    page = client.get(LIST)
    assert page.status_code == 200
    assert home.server_id() in page.content.decode()
    assert "alive" in page.content.decode()
    assert client.get(f"{LIST}{server.pk}/change/").status_code == 200
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{server.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(f"{LIST}{server.pk}/change/", {"host": "x"}).status_code == 403
    assert Server.objects.get().host == heart.host()


def test_staff_without_the_permission_see_no_servers(
    client: Client, bob: User, server: Server
) -> None:
    assert client.get(LIST).status_code == 403

    bob.user_permissions.add(Permission.objects.get(codename="view_server"))
    assert client.get(LIST).status_code == 200
