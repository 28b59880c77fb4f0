"""The world of the permission matrix, with four people with whom Alice shares: each has one right."""

from django.db import models
from django.test import Client

from policies.models import Policy
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.models import User
from scripts_admin.services import users
from tests.policies.views import logins as logins_before
from tests.policies.views import matrix
from tests.policies.views.matrix import World


def made() -> World:
    """Make the rows, and share Alice's policies and her folder: `clients` has one for each right on both.

    `policies` has all rights on the policies alone, and `folders` all on the folder alone.
    """
    world = matrix.made()
    policies: list[models.Model] = [*Policy.objects.filter(owner=world.people["alice"])]
    folder = world.rows["folder"]
    for right in Right:
        _share(world, right, [*policies, folder], [right])
    _share(world, "policies", policies, list(Right))
    _share(world, "folders", [folder], list(Right))
    return world


def _share(world: World, who: str, things: list[models.Model], rights: list[Right]) -> None:
    person = User(username=who.replace(" ", "-"))
    users.save(person)
    for thing in things:
        permissions.grant(person, thing, rights)
    client = Client(raise_request_exception=False)
    client.force_login(person)
    logins_before.confirm(client)
    client.get("/")
    world.clients[who] = client
