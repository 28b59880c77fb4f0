"""What `apply` refuses although it could be stored: weak passwords, placeholders, names that are nearly right."""

import pytest

from policies.models import Account
from policies.services.document import applying
from scripts_admin.models import User
from tests.policies.services.document.test_applying import DOCUMENT, _apply

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("password", "why"),
    [
        (
            "\N{HORIZONTAL ELLIPSIS}",
            "This password is too short. It must contain at least 8 characters.",
        ),
        ("password123", "This password is too common."),
        ("4815162342", "This password is entirely numeric."),
        ("cpm_user1!", "The password is too similar to the name."),
    ],
)
def test_a_password_that_the_validators_refuse_is_a_mistake_of_the_document(
    password: str, why: str
) -> None:
    with pytest.raises(applying.MistakesError) as caught:
        applying.apply(DOCUMENT, {"USER1_PASSWORD": password, "LAB_SECRET": "s3cret"})

    (mistake,) = caught.value.mistakes
    assert mistake.place.field == "users[0].password_env"
    assert mistake.sentence.startswith("The password is refused: ")
    assert why in mistake.sentence
    assert password not in mistake.sentence
    assert not User.objects.exists()


def test_placeholders_that_were_pasted_are_mistakes_and_nothing_is_saved() -> None:
    document = DOCUMENT.replace("AKIAX", "AKIA\N{HORIZONTAL ELLIPSIS}")

    with pytest.raises(applying.MistakesError) as caught:
        applying.apply(document, {"USER1_PASSWORD": "correct horse", "LAB_SECRET": "..."})

    fields = [mistake.place.field for mistake in caught.value.mistakes]
    assert fields == ["accounts[0].access_key_id", "accounts[0].secret_access_key_env"]
    assert not Account.objects.exists()


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    _apply()

    with pytest.raises(applying.MistakesError) as caught:
        _apply(DOCUMENT.replace("account: lab", "account: lba"))

    assert caught.value.mistakes[0].sentence.endswith(" Did you mean lab?")
