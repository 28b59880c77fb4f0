"""Files that come from a recipe, or from somebody's machine."""

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from policies.models import Policy
from scripts_admin.domain.remote import Remote
from scripts_admin.folders import recipes
from scripts_admin.models import User
from tests import factories
from tests.policies.views.page import Sent, read

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


@pytest.mark.parametrize("slug", [each.slug for each in recipes.every()])
def test_a_recipe_is_made_as_its_form_stands(client: Client, place: Path, slug: str) -> None:
    recipe = recipes.named(slug)
    assert recipe
    address = f"/scripts/alice/recipes/{slug}/?policy=shop"

    form = Sent(client.get(address).content.decode()).values
    answer = client.post(address, form)

    assert answer.status_code == 302, answer.content.decode()
    made = {path.name: path for path in place.iterdir()}
    assert len(made) == len(recipe.scripts)
    if recipe.is_on_instance:
        assert set(made) == {"before_shop@all.sh", "after_shop@all.sh"}
    else:
        assert {"before_shop.sh", "after_shop.sh", "complete_shop.sh"} < set(made)
        assert made["before_shop.sh"].stat().st_mode & 0o100
    again = client.post(address, form)
    assert "there already, so nothing was made" in again.content.decode()


def test_a_recipe_for_instances_is_for_all_or_for_one_of_its_policy(
    client: Client, place: Path, alice: User
) -> None:
    one, other = "i-0123456789abcdef0", "i-0fedcba9876543210"
    for name, instance in (("shop", one), ("mail", other)):
        policy = Policy.objects.filter(owner=alice, name=name).first()
        policy = policy or factories.PolicyFactory.create(owner=alice, name=name)
        factories.PolicyTargetFactory.create(policy=policy, instance_id=instance, volume_id="")
    address = "/scripts/alice/recipes/fsfreeze-on-the-instance/?policy=shop"
    page = client.get(address).content.decode()
    form = Sent(page).values
    assert form["instance"] == "all"
    assert f"{one} (no scripts run there yet)" in page
    assert "The other variants" in page

    answer = client.post(address, form | {"instance": other})
    assert f"{other} is no instance of shop" in answer.content.decode()
    assert list(place.iterdir()) == []

    client.post(address, form | {"instance": one})
    assert {path.name for path in place.iterdir()} == {
        f"{p}_shop@{one}.sh" for p in ("before", "after")
    }
    assert (
        "instance"
        not in Sent(client.get("/scripts/alice/recipes/generic/").content.decode()).values
    )


def test_a_recipe_says_what_is_wrong_with_a_setting(client: Client, place: Path) -> None:
    address = "/scripts/alice/recipes/fsfreeze-on-this-machine/"
    form = Sent(client.get(address).content.decode()).values

    for changed in ({"s_deadline_seconds": "soon"}, {"s_mounts": ""}, {"s_state_folder": "a\x07"}):
        answer = client.post(address, form | changed)
        assert answer.status_code == 200
        assert "Nothing was saved" in answer.content.decode()

    assert list(place.iterdir()) == []


def test_no_setting_becomes_an_option_of_a_program(client: Client, place: Path) -> None:
    address = "/scripts/alice/recipes/fsfreeze-over-ssh/?policy=shop"
    form = Sent(client.get(address).content.decode()).values
    option = "-oProxyCommand=touch /tmp/owned"

    for changed in (
        {"s_host": option},
        {"s_host": f" {option}"},
        {"s_mounts": f"/srv\r\n{option}"},
    ):
        answer = client.post(address, form | changed)
        assert "does not begin with a dash" in answer.content.decode()
    assert list(place.iterdir()) == []

    client.post(address, form | {"s_mounts": "/srv/a\r\n/srv/b-c\r\n"})
    assert b"mounts=(/srv/a /srv/b-c)" in (place / "fsfreeze-shop.conf").read_bytes()


def test_the_list_leads_to_each_recipe(client: Client, place: Path) -> None:
    page = read(client, "/scripts/alice/recipes/")

    for each in recipes.every():
        assert f"/scripts/alice/recipes/{each.slug}/" in page.links
    assert client.get("/scripts/alice/recipes/no-such/").status_code == 302


def test_from_an_instance_without_a_script_the_list_leads_to_recipes_for_it(
    client: Client, place: Path, alice: User
) -> None:
    one = "i-0123456789abcdef0"
    policy = Policy.objects.get(owner=alice, name="shop")
    target = factories.PolicyTargetFactory.build(policy=policy, instance_id=one, volume_id="")
    target.remote = Remote(by="ssm").filled()
    target.save()
    link = f"/scripts/alice/recipes/?policy=shop&instance={one}"
    assert link in read(client, "/scripts/alice/").links

    page = read(client, link)

    addresses = [each for each in page.links if each and "/recipes/" in each and "?" in each]
    assert addresses
    assert all(f"-on-the-instance/?policy=shop&instance={one}" in each for each in addresses)
    form = Sent(client.get(addresses[0]).content.decode()).values
    assert (form["policy"], form["instance"]) == ("shop", one)
    evil = '"><svg onload=alert(1)>'
    told = client.get("/scripts/alice/recipes/", {"policy": evil, "instance": evil})
    assert "<svg onload" not in told.content.decode()


def test_several_files_are_uploaded_and_those_that_are_refused_are_named(
    client: Client, place: Path
) -> None:
    key = b"-" * 5 + b"BEGIN RSA PRIVATE KEY" + b"-" * 5 + b"\n" + b"A" * 64
    sent = [
        SimpleUploadedFile("before_shop.sh", b"#!/bin/sh\r\n"),
        SimpleUploadedFile("id_rsa", key),
        SimpleUploadedFile("a b", b"x"),
    ]

    answer = client.post("/scripts/alice/upload/", {"files": sent})

    text = answer.content.decode()
    assert "holds a private key" in text
    assert "there is a blank in it" in text
    assert [path.name for path in place.iterdir()] == ["before_shop.sh"]
    assert (place / "before_shop.sh").read_bytes() == b"#!/bin/sh\r\n"


def test_an_upload_without_a_file_says_so(client: Client, place: Path) -> None:
    assert "Choose one file at least" in client.post("/scripts/alice/upload/", {}).content.decode()
