"""Sharing in the document: applied, exported, and refused with a sentence at its place."""

import pytest
from django.contrib.auth.models import Group

from policies.models import Policy
from policies.services.document import applying, exporting
from policies.services.document.applying import MistakesError
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.models import AuditEntry, Folder, User
from tests import factories

pytestmark = pytest.mark.django_db
NIGHT = "{group: night shift, may: [run, approve_hosts]}"


@pytest.fixture
def policy() -> Policy:
    made = factories.PolicyFactory.create(owner=factories.alice(), name="shop")
    factories.PolicyTargetFactory.create(policy=made)
    Group.objects.create(name="night shift")
    return made


def document(of_policy: str, of_folder: str = "") -> str:
    folder = f", folder_shared_with: [{of_folder}]" if of_folder else ""
    return (
        f"users: [{{name: alice{folder}}}, {{name: zoe}}]\n"
        f"policies: [{{owner: alice, name: shop, shared_with: [{of_policy}]}}]"
    )


def test_sharing_is_applied_and_exported_and_a_second_apply_changes_nothing(policy: Policy) -> None:
    # The user is made by the same document, after the entry that names her.
    changes = applying.apply(document(f"{{user: zoe, may: [edit]}}, {NIGHT}", "{user: zoe}"), {})

    zoe, group = User.objects.get(username="zoe"), Group.objects.get()
    assert permissions.shares(policy) == [
        (zoe, (Right.VIEW, Right.EDIT)),
        (group, (Right.VIEW, Right.RUN, Right.APPROVE_HOSTS)),
    ]
    assert permissions.shares(Folder.objects.get(owner=policy.owner)) == [(zoe, (Right.VIEW,))]
    said = {c.name: c.fields for c in changes if c.kind == applying.SHARING}
    assert said == {
        "alice/": {"folder_shared_with": "none → zoe: view"},
        "alice/shop": {
            "shared_with": "none → zoe: view, edit; group night shift: view, run, approve hosts"
        },
    }
    text = exporting.export()
    AuditEntry.objects.all().delete()
    assert {each.action for each in applying.apply(text, {})} == {applying.UNCHANGED}
    assert not AuditEntry.objects.exists()


def test_the_right_to_restore_is_a_policys_alone(policy: Policy) -> None:
    applying.apply(document("{user: zoe, may: [restore]}"), {})
    zoe = User.objects.get(username="zoe")
    assert permissions.shares(policy) == [(zoe, (Right.VIEW, Right.RESTORE))]

    with pytest.raises(MistakesError) as refused:
        applying.apply(document("", "{user: zoe, may: [restore]}"), {})

    assert "can be given on policies only" in refused.value.mistakes[0].sentence
    assert permissions.shares(policy) == [(zoe, (Right.VIEW, Right.RESTORE))]


def test_what_is_not_named_stays_and_a_list_is_the_whole_of_it(policy: Policy) -> None:
    applying.apply(document(f"{{user: zoe}}, {NIGHT}"), {})

    applying.apply("policies: [{owner: alice, name: shop, enabled: false}]", {})
    assert len(permissions.shares(policy)) == 2
    applying.apply(document("{user: zoe, may: [view, run]}"), {})

    assert permissions.shares(policy) == [
        (User.objects.get(username="zoe"), (Right.VIEW, Right.RUN))
    ]
    applying.apply(document(""), {})
    assert permissions.shares(policy) == []
    assert "shared_with" not in exporting.export()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("{user: nobody}", "There is no person 'nobody' who can log in"),
        ("{group: nobody}", "There is no group 'nobody'"),
        ("{user: zoe, may: [own]}", "'own' is no right: write some of view, edit, run"),
        ("{user: zoe, group: night shift}", "Name either a user or a group"),
        ("{may: [edit]}", "Name either a user or a group"),
        ("{user: alice}", "alice owns this"),
        ("{user: zoe, rights: [edit]}", "rights is not known here"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_shared(policy: Policy, said: str, sentence: str) -> None:
    with pytest.raises(MistakesError) as refused:
        applying.apply(document(f"{NIGHT}, {said}"), {})

    assert sentence in refused.value.mistakes[0].sentence
    assert permissions.shares(policy) == []
