"""Quiet hours in the document: applied, exported, and refused with a sentence at their place."""

import pytest

from policies.models import AlarmReceivers
from policies.services.alarms import receivers
from policies.services.document import applying, exporting
from policies.services.document.applying import MistakesError
from scripts_admin.models import AuditEntry
from tests import factories

pytestmark = pytest.mark.django_db
NIGHTS = "quiet_hours: [{days: [mon, tue], from: '22:00', to: '06:00'}]"
DOCUMENT = f"users: [{{name: carol, {NIGHTS}, quiet_timezone: Europe/Berlin}}]"


def found() -> AlarmReceivers:
    return AlarmReceivers.objects.get()


def test_quiet_hours_are_applied_and_exported() -> None:
    policy = factories.PolicyFactory.create(owner=factories.alice(), name="shop")
    factories.PolicyTargetFactory.create(policy=policy)
    receivers.set_quiet(receivers.of(policy=policy), ["sat sun 00:00-24:00"], "UTC")

    (change,) = applying.apply(DOCUMENT, {})

    assert change.fields["quiet_hours"] == '"" → mon tue 22:00-06:00'
    assert change.fields["quiet_timezone"] == "UTC → Europe/Berlin"
    carols = AlarmReceivers.objects.get(user__username="carol")
    assert (carols.quiet_times, carols.quiet_timezone) == (["mon tue 22:00-06:00"], "Europe/Berlin")
    text = exporting.export()
    assert text.count("quiet_hours:") == 2
    AuditEntry.objects.all().delete()
    assert {each.action for each in applying.apply(text, {})} == {applying.UNCHANGED}
    assert not AuditEntry.objects.exists()


def test_an_empty_list_removes_them_and_what_is_not_named_stays() -> None:
    applying.apply(DOCUMENT, {})

    applying.apply("users: [{name: carol, email: carol@example.org}]", {})
    assert found().quiet_times == ["mon tue 22:00-06:00"]
    applying.apply("users: [{name: carol, quiet_hours: []}]", {})

    assert (found().quiet_times, found().quiet_timezone) == ([], "Europe/Berlin")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("quiet_hours: [{days: [moonday], from: '22:00', to: '06:00'}]", "not a day of the week"),
        ("quiet_hours: [{from: '00:00', to: '24:00'}]", "fill the whole week"),
        (f"{NIGHTS}, quiet_timezone: Mars/Base", "is not a time zone"),
        ("quiet_hours: always", "quiet_hours"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_changed(said: str, sentence: str) -> None:
    with pytest.raises(MistakesError) as refused:
        applying.apply(f"users: [{{name: carol, {said}}}]", {})

    assert any(sentence in str(mistake) for mistake in refused.value.mistakes)
    assert not AlarmReceivers.objects.exists()
