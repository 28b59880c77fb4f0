"""What people have entered: users, accounts, schedules, policies and their targets."""

from policies.models import (
    Account,
    AlarmReceivers,
    Description,
    Policy,
    PolicyTarget,
    Schedule,
)
from scripts_admin.models import User
from scripts_admin.services import folders
from tests.bench.history.sizes import Size
from tests.bench.history.world import World

EACH_OWNERS_SCHEDULES = 5
RULES = 20  # different ones, of all schedules
BOSS = "boss"
REGION = "us-east-1"
_KEY = "AKIAIOSFODNN7EXAMPLE"


def people(size: Size) -> World:
    """Enter the users, with an account, a folder, receivers and schedules each; and a superuser."""
    User.objects.create(username=BOSS, is_staff=True, is_superuser=True)
    users = User.objects.bulk_create(
        User(username=f"user{n}", email=f"user{n}@example.org", is_staff=True)
        for n in range(size.users)
    )
    own = [folders.of(user) for user in users]
    accounts = Account.objects.bulk_create(
        Account(owner=user, name="lab", access_key_id=_KEY, secret_access_key="secret")
        for user in users
    )
    AlarmReceivers.objects.bulk_create(
        AlarmReceivers(user=user, urls="https://alarms.example.org/") for user in users
    )
    schedules = Schedule.objects.bulk_create(
        Schedule(owner=user, name=f"nightly{n}", cron=_cron(at * EACH_OWNERS_SCHEDULES + n))
        for at, user in enumerate(users)
        for n in range(EACH_OWNERS_SCHEDULES)
    )
    for rows in (users, own, accounts, schedules):
        keys = [row.pk for row in rows]
        if keys != list(range(keys[0], keys[0] + len(keys))):
            raise RuntimeError("The keys of new rows have gaps: another process writes here, too.")
    return World(size, users[0].pk, accounts[0].pk, own[0].pk, schedules[0].pk)


def _cron(number: int) -> str:
    rule = number % RULES
    return f"{rule * 2 % 60} {rule % 6} * * *"


def policies(world: World) -> None:
    """Enter the policies: each has a target and a schedule, and is due within a day."""
    size, users = world.size, world.size.users
    world.insert(
        Policy,
        world.numbers(size.policies),
        id="i + 1",
        owner_id=f"{world.user} + i % {users}",
        folder_id=f"{world.folder} + i % {users}",
        account_id=f"{world.account} + i % {users}",
        name="'policy' || i",
        next_run_at=world.dialect.at(f"({world.now} + 3600 + i % 86400)"),
        planned_at=world.ago("60"),
        # All but every hundredth are protected for some time to come.
        protected_until=world.dialect.at(
            f"({world.now} + CASE WHEN i % 100 = 7 THEN -3600 ELSE 3600 + i END)"
        ),
        unprotected_from=world.dialect.at(f"({world.now} + 90000 + i)"),
        may_be_frozen_since=f"CASE WHEN i < 2 THEN {world.ago('600')} END",
        keep_last="7",
        keep_daily="14",
    )
    world.insert(
        PolicyTarget,
        world.numbers(size.policies),
        policy_id="i + 1",
        instance_id=f"'i-' || {world.dialect.padded('i')}",
        region=f"'{REGION}'",
    )
    world.insert(
        Policy.schedules.through,
        world.numbers(size.policies),
        policy_id="i + 1",
        schedule_id=(
            f"{world.schedule} + (i % {users}) * {EACH_OWNERS_SCHEDULES} "
            f"+ (i / {users}) % {EACH_OWNERS_SCHEDULES}"
        ),
    )
    world.insert(
        Description,
        world.numbers(size.policies),
        digest="md5('d ' || i) || md5('e ' || i)",
        resource_id=f"'i-' || {world.dialect.padded('i')}",
        document=world.dialect.constant({"instance": None, "volumes": {}}),
        last_seen_at=world.ago("86400"),
    )
