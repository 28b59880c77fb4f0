"""The admin's autocomplete address over every foreign key: an answer, or a refusal, and never rows of others."""

import json
from itertools import product

import pytest
from django.apps import apps
from django.test import Client
from django.urls import reverse

from policies.models import Policy
from scripts_admin.models import User
from tests.policies.views import admin_forms
from tests.policies.views.page import client_of

pytestmark = pytest.mark.django_db

# Every relation of every model, not only of registered ones: the address takes any.
RELATIONS = sorted(
    (model._meta.app_label, str(model._meta.model_name), field.name)
    for model in apps.get_models(include_auto_created=True)
    for field in model._meta.get_fields()
    if field.is_relation
)
TERMS = ("", "' OR 1=1 --", "\x00é%_")


# Whoever may see anything has the database asked; the others are refused before.
@pytest.mark.parametrize(
    "who",
    ["boss", *(pytest.param(each, marks=pytest.mark.one_database) for each in ("bob", "dora"))],
)
def test_no_relation_breaks_it(who: str, request: pytest.FixtureRequest, policy: Policy) -> None:
    staff = admin_forms.user("dora", is_staff=True) if who == "dora" else None
    person = staff or request.getfixturevalue(who)
    client = client_of(person)
    client.raise_request_exception = False
    address = reverse("admin:autocomplete")

    found = {}
    for (app, model, field), term in product(RELATIONS, TERMS):
        asked = {"app_label": app, "model_name": model, "field_name": field, "term": term}
        answer = client.get(address, asked)
        if answer.status_code not in {200, 400 if "\0" in term else 200, 403, 404}:
            found[app, model, field, term] = answer.status_code
        elif answer.status_code == 200 and not person.is_superuser:
            assert json.loads(answer.content)["results"] == [], asked

    assert found == {}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"app_label": "policies"},
        {"app_label": "policies", "model_name": "policy"},
        {"app_label": "no", "model_name": "such", "field_name": "thing"},
        {"app_label": "policies", "model_name": "policy", "field_name": "no_such_field"},
        {"app_label": "policies", "model_name": "run", "field_name": "policy", "page": "x"},
        {"app_label": "policies", "model_name": "run", "field_name": "policy", "page": "99999"},
    ],
)
def test_a_question_that_makes_no_sense_is_refused(boss: User, asked: dict[str, str]) -> None:
    answer = client_of(boss).get(reverse("admin:autocomplete"), asked)

    assert answer.status_code in {403, 404}


def test_a_person_finds_only_what_is_theirs(boss: User, bob: User, policy: Policy) -> None:
    asked = {
        "app_label": "policies",
        "model_name": "run",
        "field_name": "policy",
        "term": "policy1",
    }

    def ids(person: User) -> list[str]:
        answer = client_of(person).get(reverse("admin:autocomplete"), asked)
        assert answer.status_code == 200
        return [row["id"] for row in json.loads(answer.content)["results"]]

    assert ids(boss) == [str(policy.pk)]
    assert ids(bob) == []
    assert Client().get(reverse("admin:autocomplete"), asked).status_code == 302
