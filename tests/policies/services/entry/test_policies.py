import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings

from n2wbackup.lib import clock
from policies.domain.errors import RefusedError
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.models import Account, Policy, PolicyTarget, Run
from policies.services.entry import accounts, policies
from scripts_admin.models import Folder, User
from scripts_admin.services import folders, users

INSTANCE, VOLUME = "i-0123456789abcdef0", "vol-0123456789abcdef0"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def scripts_root(settings: Settings, tmp_path: object) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path


@pytest.fixture
def alice() -> User:
    user = User(username="alice")
    users.save(user)
    return user


@pytest.fixture
def account(alice: User) -> Account:
    return Account.objects.create(
        owner=alice, name="lab", access_key_id="AKIA", secret_access_key="s3cret"
    )


@pytest.fixture
def policy(alice: User, account: Account) -> Policy:
    made = Policy(owner=alice, account=account, name="policy1")
    policies.save(made)
    return made


def _run(policy: Policy, state: State = State.FROZEN) -> Run:
    return Run.objects.create(
        policy=policy,
        owner=policy.owner,
        account=policy.account,
        policy_name=policy.name,
        owner_name=policy.owner.username,
        trigger=Trigger.MANUAL,
        state=state,
        created_at=clock.now(),
    )


def _wrong(policy: Policy) -> dict[str, list[str]]:
    """Return the mistakes that saving the policy reports, and assert that nothing was saved."""
    before = list(Policy.objects.values())
    with pytest.raises(ValidationError) as caught:
        policies.save(policy)
    assert list(Policy.objects.values()) == before
    return caught.value.message_dict


def _targets(**values: object) -> list[str]:
    target = PolicyTarget(**{"instance_id": INSTANCE, "region": "us-east-1", **values})
    return [f"{m.field}: {m.sentence}" for m in policies.check_targets([target])]


def test_a_new_policy_lies_in_its_owners_folder(policy: Policy, alice: User) -> None:
    assert policy.folder == folders.of(alice)
    assert policy.folder.name == "alice"


def test_a_superusers_policy_lies_in_roots_folder() -> None:
    boss = User(username="boss", is_superuser=True)
    users.save(boss)
    account = Account.objects.create(owner=boss, name="own", auth="instance")
    made = Policy(owner=boss, account=account, name="policy1")

    policies.save(made)

    assert made.folder == folders.root()


def test_a_dot_in_a_name_is_refused_with_the_reason(alice: User, account: Account) -> None:
    wrong = _wrong(Policy(owner=alice, account=account, name="policy.1"))

    assert list(wrong) == ["name"]
    assert "has a dot. A script's base name ends" in wrong["name"][0]


@pytest.mark.parametrize("name", ["", "a b", "zürich", "a/b", "x" * 65, "policy1\n"])
def test_a_name_that_no_script_could_bear_is_refused(
    alice: User, account: Account, name: str
) -> None:
    assert list(_wrong(Policy(owner=alice, account=account, name=name))) == ["name"]


def test_a_name_that_differs_only_in_case_is_refused(policy: Policy) -> None:
    wrong = _wrong(Policy(owner=policy.owner, account=policy.account, name="POLICY1"))

    assert "The policy alice/policy1 already exists" in wrong["name"][0]


def test_superusers_share_roots_folder_and_so_its_names() -> None:
    for name in ("boss", "chief"):
        user = User(username=name, is_superuser=True)
        users.save(user)
        Account.objects.create(owner=user, name="own", auth="instance")
    one, other = Account.objects.order_by("owner__username")
    policies.save(Policy(owner=one.owner, account=one, name="policy1"))

    wrong = _wrong(Policy(owner=other.owner, account=other, name="policy1"))

    assert "The policy boss/policy1 already exists" in wrong["name"][0]


def test_a_strangers_account_is_refused(policy: Policy) -> None:
    bob = User(username="bob")
    users.save(bob)

    wrong = _wrong(Policy(owner=bob, account=policy.account, name="policy1"))

    assert "bob has no account lab" in wrong["account"][0]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("max_freeze_seconds", 10),
        ("max_freeze_seconds", 601),
        ("before_timeout_seconds", 0),
        ("after_timeout_seconds", 0),
        ("complete_timeout_seconds", 0),
        ("thaw_retry_minutes", 0),
        ("snapshot_timeout_hours", 0),
    ],
)
def test_a_number_out_of_its_range_is_refused(policy: Policy, column: str, value: int) -> None:
    setattr(policy, column, value)

    assert column in _wrong(policy)


@pytest.mark.parametrize(("before", "freeze"), [(51, 60), (2, 11), (600, 600)])
def test_a_before_that_leaves_no_time_to_fire_is_refused(
    policy: Policy, before: int, freeze: int
) -> None:
    policy.before_timeout_seconds, policy.max_freeze_seconds = before, freeze

    assert list(_wrong(policy)) == ["before_timeout_seconds"]


def test_a_before_that_leaves_ten_seconds_is_taken(policy: Policy) -> None:
    policy.before_timeout_seconds, policy.max_freeze_seconds = 50, 60

    policies.save(policy)

    assert Policy.objects.get().before_timeout_seconds == 50


def test_saving_a_policy_does_not_undo_what_runs_have_noted(policy: Policy) -> None:
    now = clock.now()
    Policy.objects.update(may_be_frozen_since=now)  # after the form was opened
    policy.enabled = False

    policies.save(policy)

    stored = Policy.objects.get()
    assert (stored.enabled, stored.may_be_frozen_since) == (False, now)


def test_a_policy_does_not_change_its_owner(policy: Policy) -> None:
    bob = User(username="bob")
    users.save(bob)
    policy.owner = bob

    assert "cannot change its owner" in _wrong(policy)["owner"][0]


def test_who_is_no_superuser_any_more_keeps_no_policy_on_roots_scripts(policy: Policy) -> None:
    Policy.objects.update(folder=folders.root())
    policy.refresh_from_db()

    assert "are in root's folder" in _wrong(policy)["owner"][0]

    policy.enabled = False
    policies.save(policy)
    assert not Policy.objects.get().enabled


@pytest.mark.parametrize("state", [State.QUEUED, State.FROZEN, State.COMPLETING])
def test_a_policy_is_not_renamed_or_deleted_while_a_run_is_unfinished(
    policy: Policy, state: State
) -> None:
    run = _run(policy, state)
    policy.name = "other"

    assert f"cannot be renamed while its run {run.pk} is {state}" in _wrong(policy)["name"][0]
    with pytest.raises(RefusedError, match=r"policy .* cannot be deleted while its run"):
        policies.delete(policy)
    assert Policy.objects.get().name == "policy1"


def test_a_policy_whose_runs_have_ended_is_renamed_and_deleted_and_its_runs_stay(
    policy: Policy,
) -> None:
    run = _run(policy)
    Run.objects.update(state=State.SUCCEEDED, ended_at=clock.now())
    policy.name = "other"

    policies.save(policy)
    policies.delete(policy)

    run.refresh_from_db()
    assert (run.policy_id, run.policy_name) == (None, "policy1")


def test_an_account_is_not_renamed_or_deleted_while_a_run_is_unfinished(policy: Policy) -> None:
    account = policy.account
    _run(policy)
    account.name = "other"

    with pytest.raises(ValidationError, match="cannot be renamed while run"):
        accounts.save(account)
    with pytest.raises(RefusedError, match="cannot be deleted while run"):
        accounts.delete(account)
    assert Account.objects.get().name == "lab"


def test_an_account_that_a_policy_uses_is_not_deleted(policy: Policy) -> None:
    with pytest.raises(RefusedError, match="policies use it: policy1"):
        accounts.delete(policy.account)
    assert Account.objects.exists()


def test_only_a_superusers_account_uses_the_servers_own_role(alice: User) -> None:
    with pytest.raises(ValidationError, match="alice is not allowed to use the server's own role"):
        accounts.save(Account(owner=alice, name="own", auth="instance"))
    assert not Account.objects.exists()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": " lab"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"access_key_id": ""}, "access_key_id"),
        ({"access_key_id": "two words"}, "access_key_id"),
        ({"secret_access_key": ""}, "secret_access_key"),
        ({"region": "Frankfurt"}, "region"),
        ({"auth": "trust"}, "auth"),
        ({"role_arn": "arn:aws:iam::123456789012:role/backup"}, "role_arn"),
    ],
)
def test_an_account_that_could_not_be_used_is_refused(
    alice: User, values: dict[str, str], field: str
) -> None:
    good = {"name": "lab", "access_key_id": "A", "secret_access_key": "s", "region": "us-east-1"}

    with pytest.raises(ValidationError) as caught:
        accounts.save(Account(owner=alice, **(good | values)))

    assert list(caught.value.message_dict) == [field]
    assert not Account.objects.exists()


def test_an_owner_is_not_deleted_while_anything_is_theirs(policy: Policy) -> None:
    _run(policy)

    with pytest.raises(users.UserInUseError, match="they still own: policy policy1"):
        users.delete(policy.owner)

    assert User.objects.filter(username="alice").exists()
    assert Folder.objects.filter(name="alice").exists()


def test_an_owner_of_nothing_is_deleted_with_the_folders_row(alice: User) -> None:
    assert users.why_not_deleted(alice) == ""
    assert User.objects.filter(username="alice").exists()  # asking deletes nothing

    users.delete(alice)

    assert not User.objects.filter(username="alice").exists()
    assert not Folder.objects.filter(name="alice").exists()


def test_a_users_name_never_changes(alice: User) -> None:
    alice.username = "alicia"

    with pytest.raises(ValidationError, match="cannot be renamed"):
        users.save(alice)
    assert User.objects.get(pk=alice.pk).username == "alice"


@pytest.mark.parametrize("name", ["root", "daemon", "Alice", "1st", "a.b", ""])
def test_a_name_of_the_system_is_no_users_name(name: str) -> None:
    with pytest.raises(ValidationError):
        users.save(User(username=name))
    assert not User.objects.exists()
    assert not Folder.objects.exists()


def test_a_folder_that_cannot_be_made_leaves_no_user(settings: Settings) -> None:
    (settings.N2W_SCRIPTS_ROOT / "alice").touch()

    with pytest.raises(ValidationError, match="cannot be created"):
        users.save(User(username="alice"))
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "target",
    [
        {"instance_id": "i-01234567"},
        {"instance_id": "i-0123456789abcdef0", "exclude_boot_volume": True},
        {"instance_id": "", "volume_id": "vol-01234567"},
        {"region": "us-gov-west-1", "exclude_volume_ids": [VOLUME]},
        {"region": "eusc-de-east-1"},
        {"exclude_volume_ids": [f"vol-{number:08x}" for number in range(40)]},
    ],
)
def test_a_target_that_aws_could_have_is_taken(target: dict[str, object]) -> None:
    assert _targets(**target) == []


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ({"instance_id": "i-123"}, "instance_id: i-123 is not an instance id"),
        ({"instance_id": "i-0123456G"}, "instance_id: i-0123456G is not an instance id"),
        ({"instance_id": "", "volume_id": "v-1"}, "volume_id: v-1 is not a volume id"),
        ({"instance_id": ""}, "instance_id: A target is either"),
        ({"volume_id": VOLUME}, "instance_id: A target is either"),
        ({"region": "us-east"}, "region: 'us-east' is not an AWS region"),
        ({"exclude_volume_ids": ["x"]}, "exclude_volume_ids: x is not a volume id"),
        ({"exclude_volume_ids": [VOLUME] * 2}, f"exclude_volume_ids: {VOLUME} is excluded twice"),
        (
            {"exclude_volume_ids": [f"vol-{number:08x}" for number in range(41)]},
            "exclude_volume_ids: 41 volumes are excluded",
        ),
        (
            {"instance_id": "", "volume_id": VOLUME, "exclude_volume_ids": [VOLUME]},
            f"exclude_volume_ids: {VOLUME} is a volume",
        ),
        (
            {"instance_id": "", "volume_id": VOLUME, "exclude_boot_volume": True},
            f"exclude_boot_volume: {VOLUME} is a volume",
        ),
    ],
)
def test_a_target_that_cannot_be_is_told_at_its_field(target: dict[str, object], told: str) -> None:
    (found,) = _targets(**target)

    assert found.startswith(told)


def test_a_target_is_named_once_in_each_region(policy: Policy) -> None:
    here, there = (PolicyTarget(instance_id=INSTANCE, region=r) for r in ("us-east-1", "us-west-2"))

    assert policies.check_targets([here, there]) == []
    (mistake,) = policies.check_targets([here, there, here])
    assert (mistake.position, mistake.field) == (2, "instance_id")
    with pytest.raises(ValidationError, match="appears twice"):
        policies.replace_targets(policy, [here, there, here])
    assert not policy.targets.exists()


def test_targets_are_replaced_as_a_whole_and_only_when_they_differ(policy: Policy) -> None:
    one = PolicyTarget(instance_id=INSTANCE, region="us-east-1", exclude_volume_ids=[VOLUME])
    two = PolicyTarget(volume_id=VOLUME, region="us-east-1")

    assert policies.replace_targets(policy, [one, two])
    keys = set(policy.targets.values_list("pk", flat=True))
    assert not policies.replace_targets(policy, [one, two])
    assert set(policy.targets.values_list("pk", flat=True)) == keys
    assert policies.replace_targets(policy, [two])
    assert [str(target) for target in policy.targets.all()] == [VOLUME]


def test_a_policy_without_a_target_is_refused(policy: Policy) -> None:
    with pytest.raises(ValidationError, match="at least one"):
        policies.replace_targets(policy, [])
