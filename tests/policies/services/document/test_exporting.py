"""The exported document: applied to the same server it changes nothing; another server becomes the same."""

from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from hypothesis.extra.django import TestCase
from pytest_django import Settings

from policies.domain.document import keys
from policies.models import Account, CopyRule, Policy, Schedule
from policies.services.alarms import receivers
from policies.services.document import applying, exporting
from policies.services.entry import copy_rules, policies, schedules
from scripts_admin.models import Folder, User
from tests import factories
from tests.ground.properties import given, st
from tests.ground.properties import settings as hypothesis_settings
from tests.policies.services.document.test_applying_schedules import DOCUMENT

MORE = """\
users:
  - {name: bob, superuser: true, email: bob@example.org}
  - {name: gone, active: false}
  - {name: dora, server_role: true, open_snapshots: true, folder_shared_with: [{user: bob, may: [edit]}]}
accounts:
  - {owner: bob, name: ours, auth: instance, region: eu-central-1, regions: [eu-central-1, eu-west-1]}
  - {owner: dora, name: "an account: with {signs} #1", auth: role, role_arn: "arn:aws:iam::123456789012:role/n2w",
     enrol: [{tag: "it's: a #tag", value: "yes", policy: "007", what: volumes}, {tag: backup, policy: "007"}]}
schedules:
  - {owner: dora, name: "2026-12-01", every: {months: 1}, starting: 2026-01-31T02:30, timezone: Asia/Kolkata}
  - {owner: dora, name: "yes", cron: "*/5 * * * *", disabled: [{from: "22:00", to: "06:00"}]}
policies:
  - owner: dora
    name: "007"
    shared_with: [{user: bob}]
    account: "an account: with {signs} #1"
    enabled: false
    schedules: ["yes", "2026-12-01"]
    targets:
      - {instance: i-0123456789abcdef0, region: us-east-1, exclude_boot_volume: true, exclude_volumes: [vol-01234567]}
      - {volume: vol-0123456789abcdef0, region: us-east-1}
    scripts:
      {enabled: false, collect_output: false, skip_snapshots_when_before_fails: true,
       timeout_seconds: {before: 5, after: 6, complete: 7}}
"""
SECRET = "wJalrXUtnFEMI"
SECRETS = {
    *("password_env", "secret_access_key_env", "external_id"),
    *("alarm_urls_env", "ping_url_env"),
}
ENVIRONMENT = {"LAB": SECRET}


@pytest.fixture
def rows(db: None, settings: Settings, tmp_path: Path) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    for text in (DOCUMENT, MORE):
        applying.apply(text, ENVIRONMENT)


def test_what_is_exported_and_applied_changes_nothing(rows: None) -> None:
    changes = applying.apply(exporting.export(), {})

    assert {(change.action, *change.fields) for change in changes} == {("unchanged",)}
    assert len(changes) == 16


def test_the_export_has_no_secret(rows: None) -> None:
    alice = User.objects.get(username="alice")
    alice.set_password("correct horse battery")
    alice.save()

    text = exporting.export()

    assert SECRET not in text
    assert alice.password not in text
    assert Account.objects.get(owner__username="dora").external_id not in text


def test_an_empty_server_becomes_the_same_but_for_secrets(rows: None) -> None:
    before = exporting.export()
    for model in (Policy, Schedule, Account, Folder, User):
        model.objects.all().delete()
    text = before.replace(
        "access_key_id: AKIAX", "access_key_id: AKIAX\n  secret_access_key_env: LAB"
    )

    applying.apply(text, ENVIRONMENT)

    assert exporting.export() == before


def test_a_secret_that_is_not_there_is_asked_for(rows: None) -> None:
    text = exporting.export()
    Policy.objects.all().delete()
    Account.objects.all().delete()

    with pytest.raises(applying.MistakesError) as caught:
        applying.apply(text, {})

    ((place, sentence),) = caught.value.mistakes
    assert place.field == "accounts[0].secret_access_key_env"
    assert sentence == "Access keys need a secret access key: enter it."


def test_every_key_of_the_document_is_exported_or_a_secret(rows: None) -> None:
    for whose in ({"user": User.objects.get(username="alice")}, {"policy": Policy.objects.first()}):
        receivers.set_quiet(receivers.of(**whose), ["22:00-06:00"], "UTC")
    policy = Policy.objects.all()[0]
    copy_rules.replace(policy, [CopyRule(policy=policy, region="eu-west-3")])
    text = exporting.export()
    read, mistakes = keys.read(text)
    kinds = ("users", "accounts", "schedules", "policies")

    assert not mistakes
    for kind in kinds:
        exported = {key for entry in getattr(read, kind) for key in entry.values}
        known = set(keys_of(kind))
        assert known - exported <= SECRETS


def keys_of(kind: str) -> list[str]:
    """Name an unknown key: the error lists the known ones."""
    _, mistakes = keys.read(f"{kind}: [{{zzzzzzzz: 1}}]")
    (listed,) = (text for _, text in mistakes if "the keys are" in text)
    return listed.partition("the keys are ")[2].rstrip(".").split(", ")


@pytest.mark.django_db
def test_the_command_prints_it() -> None:
    out = StringIO()

    call_command("export", stdout=out)

    assert out.getvalue() == exporting.export()


class Names(TestCase):
    """Every allowed name is exported and applied unchanged."""

    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
    @hypothesis_settings(max_examples=50)
    def test_any_name_is_exported_so_that_it_is_read_again(self, name: str) -> None:
        alice = factories.alice()
        row = Schedule(owner=alice, name=name, cron="0 2 * * *")
        try:
            schedules.save(row)
        except Exception:  # noqa: BLE001 - a name that is not allowed
            return
        policies.save(factories.PolicyFactory.create(owner=alice), [row])

        read, mistakes = keys.read(exporting.export())

        assert not mistakes
        assert read.schedules[0].values["name"] == name


def unchanged() -> bool:
    changes = applying.apply(exporting.export(), {})
    return {change.action for change in changes} == {"unchanged"}


def test_a_policy_of_who_is_no_superuser_any_more_is_no_mistake_while_it_stays_as_it_is(
    rows: None,
) -> None:
    policy = factories.PolicyFactory.create(owner=User.objects.get(username="bob"))
    factories.PolicyTargetFactory.create(policy=policy)
    Account.objects.filter(auth="instance").delete()
    User.objects.filter(username="bob").update(is_superuser=False)

    assert unchanged()


def test_an_account_whose_right_was_withdrawn_is_no_mistake_while_it_stays_as_it_is(
    rows: None,
) -> None:
    User.objects.filter(username="bob").update(is_active=False)

    assert unchanged()


def test_names_that_a_database_tells_apart_are_not_named_twice(rows: None) -> None:
    owner = User.objects.get(username="dora")
    for name in ("Ä", "ä"):
        with suppress(ValidationError):  # PostgreSQL treats them as the same name
            schedules.save(Schedule(owner=owner, name=name, cron="0 2 * * *"))

    assert unchanged()
