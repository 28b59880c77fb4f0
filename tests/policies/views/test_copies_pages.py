"""The pages of copies: places are entered and removed, and a run says what became of its copies."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.errors import NotPermittedError
from policies.models import CopyRule, Run
from tests import factories
from tests.policies.services.copies.ground import OTHER, Copying, later
from tests.policies.services.copies.ground import copying as copying  # noqa: PLC0414 - a fixture
from tests.policies.views import page
from tests.policies.views.page_forms import filled

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
PLACES = "/policies/alice/policy1/copies/"
SVG = '"><svg onload=alert(1)>'


@pytest.fixture
def client(copying: Copying) -> Client:
    return page.client_of(copying.policy.owner)


def seen(client: Client, path: str) -> str:
    return " ".join(page.read(client, path).text.split())


def test_a_place_is_entered_changed_and_removed(client: Client, copying: Copying) -> None:
    assert "are not copied anywhere" in seen(client, PLACES)
    new = f"{PLACES}new/"
    form = filled(client, new) | {
        "region": "eu-central-1",
        "account": copying.second.pk,
        "kms_key": "alias/backups",
        "completion_minutes": "60",
        "keep_daily": "7",
    }
    assert client.post(new, form).status_code == 302
    (rule,) = copying.policy.copy_rules.all()
    assert (rule.region, rule.account, rule.keep_daily) == ("eu-central-1", copying.second, 7)
    shown = seen(client, PLACES)
    assert "vault, eu-central-1" in shown
    assert "alias/backups" in shown
    assert "daily 7: 0 kept, 0 go" in shown
    assert "vault, eu-central-1" in seen(client, "/policies/alice/policy1/")

    edit = f"{PLACES}{rule.pk}/"
    client.post(edit, filled(client, edit) | {"keep_daily": "9"})
    rule.refresh_from_db()
    assert (rule.keep_daily, rule.kms_key) == (9, "alias/backups")
    client.post(f"{edit}remove/")
    assert not CopyRule.objects.exists()


def test_rules_that_let_more_copies_go_are_saved_once_the_person_agrees(
    client: Client, copying: Copying, settings: Settings
) -> None:
    settings.N2W_DELETE_AFTER_HOURS = 24
    rule = copying.rule(keep_last=3)
    runs = [copying.backed_up(clock.now() - timedelta(days=days)) for days in (2, 1, 0)]
    CopyRule.objects.update(seen_until=clock.now() - timedelta(days=9))
    for run in runs:
        copying.copied(run)
    edit = f"{PLACES}{rule.pk}/"
    form = filled(client, edit) | {"keep_last": "1"}

    answer = client.post(edit, form)
    text = " ".join(answer.content.decode().split())
    assert "Nothing was saved yet" in text
    assert "I agree that the copies of 2 more restore points go" in text
    assert all(f"/runs/{run.pk}/" in text for run in runs[:2])
    client.post(edit, form | {"let_go": "1"})
    rule.refresh_from_db()
    assert rule.keep_last == 3

    assert client.post(edit, form | {"let_go": "2"}).status_code == 302
    rule.refresh_from_db()
    assert rule.keep_last == 1
    copying.clean()
    shown = seen(client, PLACES)
    assert shown.count("goes after") == 2
    assert "older than everything that the rules keep" in shown
    assert "goes after" in seen(client, f"/runs/{runs[0].pk}/")
    assert len(copying.in_aws()) == 3


def test_where_the_place_changes_nothing_is_asked_as_the_copies_of_the_old_one_stay(
    client: Client, copying: Copying
) -> None:
    rule = copying.rule(keep_last=3)
    runs = [copying.backed_up(clock.now() - timedelta(days=days)) for days in (2, 1, 0)]
    CopyRule.objects.update(seen_until=clock.now() - timedelta(days=9))
    for run in runs:
        copying.copied(run)
    edit = f"{PLACES}{rule.pk}/"
    assert "its copies stay, and no rule lets them go any more" in seen(client, edit)

    answer = client.post(
        edit, filled(client, edit) | {"region": "ap-south-1", "keep_last": "1"}, follow=True
    )

    assert answer.redirect_chain
    said = " ".join(answer.content.decode().split())
    assert f"The copies in {rule} stay, and no rule lets them go any more" in said
    (now_it_is,) = copying.policy.copy_rules.all()
    assert (now_it_is.region, now_it_is.keep_last) == ("ap-south-1", 1)
    copying.clean()
    assert len(copying.in_aws()) == 3


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"region": "mars"}, "is not an AWS region"),
        ({"region": SVG}, "is not an AWS region"),
        ({"completion_minutes": "20"}, "AWS sells no copy within 20 minutes"),
        ({"kms_key": SVG}, "is not a KMS key"),
        (
            {"kms_key": "arn:aws:kms:us-west-1:123456789012:key/aa"},
            "The key is in us-west-1",
        ),
        ({"keep_generations": "2", "keep_last": "2"}, "set generations to 0"),
        ({"keep_last": "9999"}, "less than or equal to 1000"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_saved(
    client: Client, copying: Copying, wrong: dict[str, str], sentence: str
) -> None:
    new = f"{PLACES}new/"
    answer = client.post(new, filled(client, new) | {"region": "eu-central-1"} | wrong)

    assert sentence in answer.content.decode()
    assert "<svg onload" not in answer.content.decode()
    assert not CopyRule.objects.exists()


def test_another_s_account_cannot_be_chosen(client: Client, copying: Copying) -> None:
    strange = factories.AccountFactory.create(owner=factories.charlie(), name="theirs")
    new = f"{PLACES}new/"
    form = filled(client, new) | {"region": "eu-central-1", "account": strange.pk}
    assert client.post(new, form).status_code == 200
    assert "theirs" not in seen(client, new)
    assert not CopyRule.objects.exists()


def test_a_place_is_named_once(client: Client, copying: Copying) -> None:
    copying.rule(region="eu-central-1")
    new = f"{PLACES}new/"
    form = filled(client, new) | {
        "region": "eu-central-1",
        "account": copying.policy.account.pk,
    }
    assert "copies to this place already" in client.post(new, form).content.decode()
    assert CopyRule.objects.count() == 1


def test_a_run_shows_its_copies_and_repeats_what_failed(client: Client, copying: Copying) -> None:
    copying.rule()
    run = copying.backed_up()
    for minutes in (0, 10, 30):
        copying.own.fail_next("copy", NotPermittedError(f"Denied: {SVG}", "AccessDenied"))
        with later(minutes):
            copying.turn()
    path = f"/runs/{run.pk}/"
    shown = client.get(path).content.decode()
    assert "Make the failed copies again" in shown
    assert "<svg onload" not in shown

    client.post(f"{path}copies/again/")
    copying.copied(run)
    shown = seen(client, path)
    (copy,) = run.copies.all()
    assert copy.snapshot_id in shown
    assert "Make the failed copies again" not in shown
    assert copy.snapshot_id in seen(client, PLACES)


def test_a_stranger_finds_none_of_it(copying: Copying) -> None:
    copying.rule()
    run = copying.backed_up()
    rule = copying.policy.copy_rules.get()
    stranger = page.client_of(factories.charlie())
    for path in (PLACES, f"{PLACES}new/", f"{PLACES}{rule.pk}/", f"{PLACES}{rule.pk}/remove/"):
        assert stranger.get(path).status_code == 404
        assert stranger.post(path, {"region": "eu-west-1"}).status_code in {404, 405}
    assert stranger.post(f"/runs/{run.pk}/copies/again/").status_code == 404
    assert [each.region for each in CopyRule.objects.all()] == [rule.region]


def test_an_account_with_copies_is_not_deleted(client: Client, copying: Copying) -> None:
    copying.rule(account=copying.second)
    path = "/accounts/alice/vault/delete/"
    client.post(path, {"confirm": "vault"})
    copying.second.refresh_from_db()
    assert "snapshots are copied into it by policies: policy1" in seen(client, path)


def test_the_command_shows_and_repeats(
    copying: Copying, capsys: pytest.CaptureFixture[str]
) -> None:
    copying.rule(account=copying.second)
    run = copying.backed_up()
    copying.copied(run)
    call_command("copies", str(run.pk))
    assert "in vault, eu-central-1: completed" in capsys.readouterr().out
    call_command("copies", str(run.pk), "--json")
    assert run.copies.get().snapshot_id in capsys.readouterr().out
    assert OTHER
    assert Run.objects.count() == 1


def test_an_older_restore_point_is_copied_by_hand(
    client: Client, copying: Copying, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copying.backed_up(clock.now() - timedelta(hours=1))
    copying.rules({"region": "eu-central-1", "account": copying.second}, {"region": "eu-west-1"})
    copying.turn()
    assert not run.copies.exists()
    path, place = f"/runs/{run.pk}/", "vault/eu-central-1"
    assert f"Copy it to {place}" in seen(client, path)
    stranger = page.client_of(factories.charlie())
    assert stranger.post(f"{path}copies/again/", {"place": place}).status_code == 404
    client.post(f"{path}copies/again/", {"place": "mars"})
    assert not run.copies.exists()

    client.post(f"{path}copies/again/", {"place": place})
    call_command("copies", str(run.pk), "--to", "eu-west-1")

    assert "1 to be made in eu-west-1." in capsys.readouterr().out
    copying.copied(run)
    assert {copy.region for copy in run.copies.all()} == {"eu-central-1", "eu-west-1"}
    assert "Copy it to" not in seen(client, path)
    with pytest.raises(CommandError, match="never copied"):
        call_command("copies", str(run.pk), "--to", place)
