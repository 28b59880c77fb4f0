import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from policies.domain.errors import InputError
from policies.models import Account, Policy, PolicyTarget
from policies.services.document import applying
from policies.services.document.applying import Change, MistakesError
from scripts_admin.models import Folder, User

DOCUMENT = """\
users:
  - {name: cpm_user1, email: one@example.org, password_env: USER1_PASSWORD, superuser: false}
accounts:
  - {owner: cpm_user1, name: lab, auth: keys, access_key_id: AKIAX,
     secret_access_key_env: LAB_SECRET, region: us-east-1}
policies:
  - owner: cpm_user1
    name: policy1
    account: lab
    max_freeze_seconds: 60
    targets:
      - {instance: i-0123456789abcdef0, region: us-east-1, exclude_volumes: [vol-01234567]}
      - {volume: vol-0123456789abcdef0, region: us-east-1}
    scripts:
      timeout_seconds: {before: 30, after: 20}
"""
PASSWORD, SECRET = "correct horse battery", "wJalrXUtnFEMI/K7MDENG"
ENVIRONMENT = {"USER1_PASSWORD": PASSWORD, "LAB_SECRET": SECRET}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def scripts_root(settings: Settings, tmp_path: Path) -> Path:
    settings.N2W_SCRIPTS_ROOT = tmp_path / "scripts"
    return tmp_path / "scripts"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "file.yaml"

    def run(text: str, *words: str, err: StringIO | None = None) -> str:
        path.write_text(text)
        out = StringIO()
        call_command("apply", str(path), *words, stdout=out, stderr=err or StringIO())
        return out.getvalue().replace(str(path), "FILE")

    return run


def _apply(text: str = DOCUMENT, *, dry_run: bool = False) -> list[Change]:
    return applying.apply(text, ENVIRONMENT, dry_run=dry_run)


def _rows() -> list[list[dict[str, Any]]]:
    """Return every row that apply may touch."""
    models: list[Any] = [User, Folder, Account, Policy, PolicyTarget]
    return [list(model.objects.order_by("pk").values()) for model in models]


def _told(text: str, environment: dict[str, str] | None = None) -> list[str]:
    """Return the mistakes as LINE:COLUMN: field: sentence, and assert that nothing was changed."""
    before = _rows()
    with pytest.raises(MistakesError) as caught:
        applying.apply(text, ENVIRONMENT if environment is None else environment)
    assert _rows() == before
    assert "Nothing was changed" in str(caught.value)
    return [f"{p.line}:{p.column}: {p.field}: {text}" for p, text in caught.value.mistakes]


def _actions(changes: list[Change]) -> list[str]:
    return [change.action for change in changes]


def test_users_accounts_and_policies_are_made_as_the_document_says(scripts_root: Path) -> None:
    assert _actions(_apply()) == ["created"] * 3

    user = User.objects.get()
    assert (user.username, user.email, user.is_superuser) == ("cpm_user1", "one@example.org", False)
    assert user.check_password(PASSWORD)
    account = Account.objects.get()
    assert (account.owner, account.access_key_id, account.secret_access_key) == (
        user,
        "AKIAX",
        SECRET,
    )
    policy = Policy.objects.get()
    assert (policy.owner, policy.account, policy.folder.name) == (user, account, "cpm_user1")
    assert (policy.before_timeout_seconds, policy.after_timeout_seconds) == (30, 20)
    one, two = policy.targets.order_by("pk")
    assert (one.instance_id, one.exclude_volume_ids) == ("i-0123456789abcdef0", ["vol-01234567"])
    assert two.volume_id == "vol-0123456789abcdef0"
    assert (scripts_root / "cpm_user1").is_dir()


def test_applied_twice_it_changes_nothing_more() -> None:
    _apply()
    before = _rows()

    assert _actions(_apply()) == ["unchanged"] * 3
    assert _rows() == before


def test_only_what_differs_is_changed_and_told() -> None:
    _apply()

    changes = _apply(DOCUMENT.replace("max_freeze_seconds: 60", "max_freeze_seconds: 90"))

    assert _actions(changes) == ["unchanged", "unchanged", "changed"]
    assert changes[2].fields == {"max_freeze_seconds": "60 → 90"}
    assert Policy.objects.get().max_freeze_seconds == 90


def test_what_the_document_does_not_name_is_left_alone() -> None:
    _apply()

    _apply("users: [{name: cpm_user1}]\npolicies: [{owner: cpm_user1, name: policy1}]\n")

    policy = Policy.objects.get()
    assert (policy.after_timeout_seconds, policy.targets.count()) == (20, 2)
    assert User.objects.get().email == "one@example.org"
    assert User.objects.get().check_password(PASSWORD)
    assert Account.objects.count() == 1


def test_a_password_and_a_secret_are_set_only_when_they_differ() -> None:
    _apply()
    hashed = User.objects.get().password

    same = _apply()
    assert User.objects.get().password == hashed
    changes = applying.apply(DOCUMENT, {"USER1_PASSWORD": "another horse", "LAB_SECRET": "other"})

    assert _actions(same) == ["unchanged"] * 3
    assert changes[0].fields == {"password": "(set)"}
    assert changes[1].fields == {"secret_access_key_env": "(set)"}
    assert User.objects.get().check_password("another horse")
    assert Account.objects.get().secret_access_key == "other"


def test_targets_are_taken_as_the_whole_list() -> None:
    _apply()

    changes = _apply(
        DOCUMENT.replace("      - {volume: vol-0123456789abcdef0, region: us-east-1}\n", "")
    )

    assert _actions(changes)[2] == "changed"
    assert list(changes[2].fields) == ["targets"]
    assert [str(target) for target in PolicyTarget.objects.all()] == ["i-0123456789abcdef0"]


def test_a_dry_run_tells_the_same_and_changes_nothing(scripts_root: Path) -> None:
    before = _rows()

    changes = _apply(dry_run=True)

    assert _rows() == before
    assert not scripts_root.exists()
    assert changes == _apply()


def test_a_superuser_has_roots_folder_and_the_servers_own_role() -> None:
    _apply(
        "users: [{name: boss, superuser: true}]\n"
        "accounts: [{owner: boss, name: own, auth: instance}]\n"
    )

    user = User.objects.get()
    assert (user.is_superuser, user.is_staff, user.has_usable_password()) == (True, True, False)
    assert [folder.name for folder in Folder.objects.all()] == ["root"]
    assert Account.objects.get().auth == "instance"


def test_the_servers_own_role_is_for_superusers() -> None:
    (found,) = _told(
        "users: [{name: alice}]\naccounts: [{owner: alice, name: own, auth: instance}]\n"
    )

    assert found.startswith(
        "2:44: accounts[0].auth: alice is not allowed to use the server's own role"
    )


def test_a_policy_name_with_a_dot_is_told_with_the_reason() -> None:
    (told,) = _told(DOCUMENT.replace("policy1", "policy.1"))

    assert told.startswith("8:11: policies[0].name: The policy name 'policy.1' has a dot. A script")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("users: [{name: a,\n", "2:1: document: This is not YAML"),
        ("users:\n- name: a\n  email: b: c\n", "3:11: document: This is not YAML"),
        ("users:\n\t- name: a\n", "2:1: document: This is not YAML"),
        ("users: *nobody\n", "1:8: document: This is not YAML"),
        ("users: [{name: 'a\x07'}]\n", "1:18: document: This is not YAML"),
        ("--- {}\n--- {}\n", "2:1: document: This is not YAML"),
        ("[" * 5000, "1:1: document: This is not YAML"),
        ("", "1:1: document: The document is empty"),
        ("- a\n", "1:1: document: This must be a mapping"),
    ],
)
def test_broken_yaml_is_told_with_line_and_column(text: str, told: str) -> None:
    (found,) = _told(text)

    assert found.startswith(told)


@pytest.mark.parametrize(
    ("old", "new", "told"),  # the mistake is behind the mark »
    [
        ("email:", "»emial:", "users[0].emial: emial is not known here: did you mean email?"),
        ("email:", "»e:", "users[0].e: e is not known here: the keys are name, email, passw"),
        ("60", "»soon", "policies[0].max_freeze_seconds: This must be a whole number, not t"),
        ("60", "»60.5", "policies[0].max_freeze_seconds: This must be a whole number: write dec"),
        ("60", "»601", "policies[0].max_freeze_seconds: This is 601 but must be from 11 to"),
        ("false", "»no", "users[0].superuser: This must be true or false, not text"),
        ("name: lab", "name: »7", "accounts[0].name: This must be text, not a number"),
        ("name: lab", "name: »''", "accounts[0].name: This must not be empty"),
        ("{owner: cpm_user1, name: lab,", "»{owner: cpm_user1,", "accounts[0].name: name is m"),
        ("[vol-01234567]", "»vol-0", "policies[0].targets[0].exclude_volumes: This must be a"),
        ("[vol-01234567]", "[»5]", "policies[0].targets[0].exclude_volumes[0]: This must be"),
        ("[vol-01234567]", "»[x]", "policies[0].targets[0].exclude_volumes: x is not a volume id"),
        ("i-0123456789abcdef0", "»i-1", "policies[0].targets[0].instance: i-1 is not an instance"),
        ("{volume: vol-0123456789abcdef0,", "»{", "policies[0].targets[1].instance: A target is"),
        ("before: 30", "before: »51", "policies[0].scripts.timeout_seconds.before: A before of"),
        ("before:", "»bevore:", "policies[0].scripts.timeout_seconds.bevore: bevore is not known"),
        ("after: 20", "after: »0", "policies[0].scripts.timeout_seconds.after: This is 0 but must"),
        ("owner: cpm_user1\n", "owner: »bob\n", "policies[0].owner: There is no user bob"),
        ("account: lab", "account: »lap", "policies[0].account: cpm_user1 has no account lap"),
        ("LAB_SECRET", "»LAB", "accounts[0].secret_access_key_env: The environment variable LAB"),
        (
            "auth: keys",
            "auth: »trust",
            "accounts[0].auth: This version does not know auth trust: ch",
        ),
        ("us-east-1}\npol", "»here}\npol", "accounts[0].region: here is not an AWS region"),
        ("one@example.org", "»one", "users[0].email: This is not an e-mail address"),
        ("name: policy1", "name: p\n    »name: q", "policies[0].name: name appears twice"),
    ],
)
def test_one_mistake_is_told_once_and_where_it_stands(old: str, new: str, told: str) -> None:
    assert old in DOCUMENT
    text = DOCUMENT.replace(old, new, 1)
    before, _, behind = text.partition("»")
    line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1

    (found,) = _told(before + behind)

    assert found.startswith(f"{line}:{column}: {told}")


def test_every_mistake_is_told_in_the_order_of_its_line() -> None:
    text = DOCUMENT.replace("email:", "emial:").replace("60", "5").replace("lab\n", "lap\n")
    text = text.replace("LAB_SECRET", "NOWHERE").replace("i-0123456789abcdef0", "i-1")

    found = [line.split(": ")[1] for line in _told(text)]

    assert found == [
        "users[0].emial",
        "accounts[0].secret_access_key_env",
        "policies[0].account",
        "policies[0].max_freeze_seconds",
        "policies[0].targets[0].instance",
    ]


def test_a_wrong_user_is_not_told_again_at_what_is_theirs() -> None:
    (found,) = _told(DOCUMENT.replace("{name: cpm_user1", "{name: cpm_user1, admin: true"))
    assert "users[0].admin" in found

    text = DOCUMENT.replace("cpm_user1", "Cpm_user1")
    assert [line.split(": ")[1] for line in _told(text)] == ["users[0].name"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("users:\n- {name: a}\n- {name: a}\n", "3:10: users[1].name: The user a appears twice"),
        (
            "accounts:\n- &a {owner: boss, name: x, auth: instance}\n- {<<: *a, name: X}\n",
            "3:18: accounts[1].name: The account boss/X appears twice (first in line 2)",
        ),
    ],
)
def test_an_entry_is_named_once(more: str, told: str) -> None:
    User.objects.create(username="boss", is_superuser=True)

    (found,) = _told(more)

    assert found.startswith(told)


def test_a_secret_that_stands_where_its_variables_name_belongs_is_not_repeated() -> None:
    (found,) = _told(DOCUMENT.replace("LAB_SECRET", SECRET))

    assert SECRET not in found
    assert "write the variable's name here" in found


def test_a_variable_that_is_empty_counts_as_missing() -> None:
    (found,) = _told(DOCUMENT, {**ENVIRONMENT, "USER1_PASSWORD": ""})

    assert "The environment variable USER1_PASSWORD is not set" in found


def test_a_new_policy_needs_an_account_and_a_target() -> None:
    _apply("users: [{name: alice}]\n")

    assert [line.split(": ")[1] for line in _told("policies: [{owner: alice, name: p}]\n")] == [
        "policies[0].account",
        "policies[0].targets",
    ]


def test_merges_and_anchors_are_followed() -> None:
    _apply()
    text = (
        "policies:\n"
        "- &p {owner: cpm_user1, name: a, account: lab, targets: [{volume: vol-01234567, region: "
        "us-east-1}]}\n"
        "- {<<: *p, name: b}\n"
    )

    assert _actions(_apply(text)) == ["created", "created"]
    assert (
        Policy.objects.filter(name__in=["a", "b"], targets__volume_id="vol-01234567").count() == 2
    )


def test_a_folder_that_cannot_be_made_changes_nothing(scripts_root: Path) -> None:
    scripts_root.mkdir()
    (scripts_root / "cpm_user1").touch()
    before = _rows()

    with pytest.raises(InputError, match=r"cannot be created .* Nothing was saved"):
        _apply()
    assert _rows() == before


def test_the_command_says_what_was_done_and_no_secret(command: Callable[..., str]) -> None:
    dry, first, second = command(DOCUMENT, "--dry-run"), command(DOCUMENT), command(DOCUMENT)

    assert "policy cpm_user1/policy1: would be created (" in dry
    assert dry.endswith("This was a dry run: nothing was changed.\n")
    assert "account cpm_user1/lab: created (" in first
    assert second == (
        "user cpm_user1: unchanged\n"
        "account cpm_user1/lab: unchanged\n"
        "policy cpm_user1/policy1: unchanged\n"
        "Everything already matches the file: nothing was changed.\n"
    )
    for text in (dry, first, second):
        assert not any(secret in text for secret in (PASSWORD, SECRET, "AKIAX"))


def test_the_command_tells_changes_as_json(command: Callable[..., str]) -> None:
    found = json.loads(command(DOCUMENT, "--json"))

    assert (found["dry_run"], found["changed"], found["mistakes"]) == (False, True, [])
    assert [change["kind"] for change in found["changes"]] == ["user", "account", "policy"]
    assert json.loads(command(DOCUMENT, "--json"))["changed"] is False


def test_the_command_tells_each_mistake_in_a_line_and_fails(
    command: Callable[..., str], tmp_path: Path
) -> None:
    err = StringIO()

    with pytest.raises(CommandError, match="has 1 mistake: correct the document"):
        command(DOCUMENT.replace("60", "601"), err=err)

    assert err.getvalue() == (
        f"{tmp_path}/file.yaml:10:25: policies[0].max_freeze_seconds: This is 601 but must be from 11 "
        "to 600: correct it.\n"
    )
    assert not User.objects.exists()


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("apply", str(tmp_path / "nowhere.yaml"))

    path = tmp_path / "latin.yaml"
    path.write_bytes(b"users:\n- {name: \xe4}\n")
    with pytest.raises(CommandError, match=r"latin\.yaml:2:10: document: This is not UTF-8"):
        call_command("apply", str(path))
