"""A policy that is renamed takes its scripts along, or neither is renamed."""

from pathlib import Path

import pytest
from django.test import Client

from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from policies.models import Policy
from scripts_admin.folders import storage
from scripts_admin.models import User
from tests.policies.views.page_forms import filled

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    made = MemoryCloud()
    monkeypatch.setattr(session, "cloud", lambda _credentials: made)


@pytest.fixture
def owner(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


def _scripts(policy: Policy, *names: str) -> Path:
    place = storage.create(policy.folder)
    for name in names:
        (place / name).write_text("#!/bin/sh\n")
    return place


@pytest.mark.parametrize("along", [True, False])
def test_the_scripts_of_a_renamed_policy_go_along_if_somebody_wants_that(
    owner: Client, policy: Policy, along: bool
) -> None:
    place = _scripts(
        policy, "before_policy1.v2.sh", "after_policy1.sh", "after_policy1@all.sh", "helper"
    )
    path = "/policies/alice/policy1/edit/"

    owner.post(path, filled(owner, path, name="renamed", rename_scripts="on" if along else None))

    policy.refresh_from_db()
    assert policy.name == "renamed"
    name = "renamed" if along else "policy1"
    there = sorted(each.name for each in place.iterdir())
    assert there == [
        f"after_{name}.sh",
        f"after_{name}@all.sh",
        f"before_{name}.v2.sh",
        "helper",
    ]


def test_where_a_scripts_new_name_is_taken_neither_it_nor_the_policy_is_renamed(
    owner: Client, policy: Policy
) -> None:
    names = ("after_policy1.sh", "after_renamed.sh", "before_policy1.sh")
    place = _scripts(policy, *names)
    path = "/policies/alice/policy1/edit/"

    answer = owner.post(path, filled(owner, path, name="renamed"))

    assert (
        "The policy was not renamed. There is a file after_renamed.sh already."
        in answer.content.decode()
    )
    policy.refresh_from_db()
    assert policy.name == "policy1"
    assert sorted(each.name for each in place.iterdir()) == sorted(names)


def test_where_the_policy_is_refused_its_scripts_keep_their_names(
    owner: Client, policy: Policy
) -> None:
    place = _scripts(policy, "before_policy1.sh")
    path = "/policies/alice/policy1/edit/"
    form = filled(owner, path, name="renamed")
    Policy.objects.filter(pk=policy.pk).update(retry_count=3)

    assert owner.post(path, form).status_code == 409
    assert [each.name for each in place.iterdir()] == ["before_policy1.sh"]
