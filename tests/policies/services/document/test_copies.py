"""Places of copies in the document: applied, exported, and refused with a sentence at their place."""

import pytest

from policies.models import CopyRule, Policy
from policies.services.document import applying, exporting
from policies.services.document.applying import MistakesError
from scripts_admin.models import AuditEntry
from tests import factories

pytestmark = pytest.mark.django_db
TWO = """
  - {region: eu-central-1}
  - region: eu-west-1
    account: vault
    kms_key: alias/backups
    completion_minutes: 60
    retention: {daily: 7, monthly: 12}
"""


@pytest.fixture
def policy() -> Policy:
    made = factories.PolicyFactory.create(owner=factories.alice(), name="shop")
    factories.PolicyTargetFactory.create(policy=made)
    factories.AccountFactory.create(owner=made.owner, name="vault")
    return made


def apply(copies: str) -> dict[str, str]:
    text = f"policies:\n- owner: alice\n  name: shop\n  copies: {copies}\n"
    (change,) = [each for each in applying.apply(text, {}) if each.kind == "policy"]
    return dict(change.fields)


def test_places_are_applied_and_exported_and_a_second_apply_changes_nothing(
    policy: Policy,
) -> None:
    said = apply(TWO)
    assert said == {
        "copies": "to eu-central-1, every restore point is kept; to vault, eu-west-1, key alias/backups, within 60 "
        "min, daily 7, monthly 12"
    }
    text = exporting.export()
    assert "retention: {daily: 7, monthly: 12}" in text or "monthly: 12" in text
    AuditEntry.objects.all().delete()
    assert {each.action for each in applying.apply(text, {})} == {applying.UNCHANGED}
    assert not AuditEntry.objects.exists()


def test_a_place_that_stays_keeps_its_row_and_an_empty_list_removes_all(policy: Policy) -> None:
    apply(TWO)
    first, second = CopyRule.objects.order_by("pk")
    apply("[{region: eu-west-1, account: vault}]")
    assert list(CopyRule.objects.all()) == [second]
    second.refresh_from_db()
    assert (second.kms_key, second.keep_daily) == ("", 0)
    applying.apply("policies: [{owner: alice, name: shop, rpo_hours: 5}]", {})
    assert CopyRule.objects.count() == 1
    assert apply("[]")["copies"].endswith("→ none")
    assert first.pk
    assert not CopyRule.objects.exists()


@pytest.mark.parametrize(
    ("copies", "sentence"),
    [
        ("[{region: mars}]", "is not an AWS region"),
        ("[{account: vault}]", "region"),
        ("[{region: eu-west-1, account: theirs}]", "alice has no account theirs"),
        ("[{region: eu-west-1, completion_minutes: 7}]", "AWS sells no copy within 7"),
        ("[{region: eu-west-1}, {region: eu-west-1, account: lab}]", "this place already"),
        ("[{region: eu-west-1, retention: {daily: 9999}}]", "must be from 0 to 3660"),
        ("[{region: eu-west-1, account: vault, kms_key: alias/aws/ebs}]", "its default key"),
        ("[{region: eu-west-1, colour: red}]", "colour"),
        ("5", "list"),
    ],
)
def test_what_is_wrong_is_told_at_its_place_and_changes_nothing(
    policy: Policy, copies: str, sentence: str
) -> None:
    factories.AccountFactory.create(owner=factories.charlie(), name="theirs")
    with pytest.raises(MistakesError) as refused:
        apply(copies)
    assert sentence in " ".join(mistake.sentence for mistake in refused.value.mistakes)
    assert not CopyRule.objects.exists()
