"""restore --from: what the command says of a copy, and what it refuses."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from policies.models import Recovery
from tests.policies.services.recovery.copied import THERE, VAULT, Copied, copy_all

pytestmark = pytest.mark.django_db


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> Copied:
    made = copy_all(monkeypatch)
    made.copy(made.vault)
    return made


def told(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_a_dry_run_names_the_copy_its_region_and_its_account(copied: Copied) -> None:
    run, data = str(copied.run.pk), copied.restored.data
    words = ("restore", run, "--volume", data, "--from", VAULT, "--dry-run")

    text, found = told(*words), json.loads(told(*words, "--json"))

    copy = copied.of(data)
    assert f"in {THERE}, with the account vault, from the copy in vault, {THERE}:" in text
    assert f"Create a volume (gp3) from {copy} in {THERE}a. AWS permits it." in text
    assert (found["source"], found["region"], found["account"]) == (
        f"copy in vault, {THERE}", THERE, "vault",
    )  # fmt: skip
    assert copied.far.all_volumes(THERE) == []
    assert not Recovery.objects.exists()
    # The id of a copy names its place, too.
    assert copy in told("restore", run, "--volume", data, "--from", copy, "--dry-run")


def test_the_recovery_says_from_what_it_was_made(copied: Copied) -> None:
    told("restore", str(copied.run.pk), "--volume", copied.restored.data, "--from", VAULT)
    recovery = Recovery.objects.get()
    copied.restored.work(recovery)

    found = json.loads(told("show_recovery", str(recovery.pk), "--json"))

    assert (found["source"], found["state"]) == (f"copy in vault, {THERE}", "done")
    assert f"from the copy in vault, {THERE}" in told("show_recovery", str(recovery.pk))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--from", "mars"], f"no usable copy in mars: choose one of {VAULT}"),
        (["--from", VAULT, "--account", "lab"], "leave the account out"),
        (["--from", VAULT, "--in-place", "--stop"], "cannot be put in its place"),
    ],
)
def test_what_a_copy_cannot_be_used_for_is_refused(
    copied: Copied, words: list[str], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        told("restore", str(copied.run.pk), "--volume", copied.restored.data, *words)

    assert not Recovery.objects.exists()
