"""Recoveries from runs, with their steps, what they made, and their history."""

from policies.models import Recovery, RecoveryEvent, RecoveryResource, RecoveryStep, Run
from tests.bench.history.world import World

# So rare that it is everybody's: of each so many-th run a volume was restored; of these, each thousandth goes on.
_RESTORED = 49


def recoveries(world: World) -> None:
    """Enter a recovery of a volume from a run."""
    run = f"(SELECT {{}} FROM {Run._meta.db_table} WHERE id = {world.dialect.run('i')})"  # noqa: S608 - names of tables
    goes_on = f"i % {_RESTORED * 1000} = 11"
    world.insert(
        Recovery,
        f"{world.numbers(world.size.runs)} WHERE i % {_RESTORED} = 11",
        id=world.dialect.run("i"),
        run_id=world.dialect.run("i"),
        run_id_copied=world.dialect.run("i"),
        policy_id=run.format("policy_id"),
        owner_id=run.format("owner_id"),
        account_id=run.format("account_id"),
        policy_name=run.format("policy_name"),
        owner_name=run.format("owner_name"),
        account_name="'lab'",
        point_at=run.format("created_at"),
        region="'us-east-1'",
        kind="'volume'",
        subject="'vol-0123456789abcdef0'",
        requested_by="'user1'",
        state=f"(CASE WHEN {goes_on} THEN 'initializing' ELSE 'done' END)",
        asked_at=run.format("created_at"),
        next_at=run.format("created_at"),
        ended_at=f"CASE WHEN {goes_on} THEN NULL ELSE {run.format('created_at')} END",
    )


def _of(world: World) -> str:
    made = f"(SELECT 1 FROM {Recovery._meta.db_table} WHERE id = {world.dialect.run('i')})"  # noqa: S608 - as above
    return f"{world.numbers(world.size.runs)} WHERE i % {_RESTORED} = 11 AND EXISTS {made}"


def steps(world: World) -> None:
    """Enter its only step."""
    world.insert(
        RecoveryStep,
        _of(world),
        id="i",
        recovery_id=world.dialect.run("i"),
        position="0",
        deed="'create volume'",
        state="'done'",
        resource="'vol-0fedcba9876543210'",
    )


def resources(world: World) -> None:
    """Enter the volume that it made."""
    world.insert(
        RecoveryResource,
        _of(world),
        id="i",
        recovery_id=world.dialect.run("i"),
        resource_id="'vol-0fedcba9876543210'",
        from_snapshot="'snap-0123456789abcdef0'",
        made_at=world.ago("86400"),
        progress="100",
    )


def events(world: World) -> None:
    """Enter a line of its history."""
    world.insert(
        RecoveryEvent,
        _of(world),
        id="i",
        recovery_id=world.dialect.run("i"),
        at=world.ago("86400"),
        state="'done'",
        text="'Done: everything is at full speed.'",
    )
