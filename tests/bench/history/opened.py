"""Snapshots whose files people have looked at, and copies of files to instances."""

from policies.models import BroughtFiles, OpenedSnapshot
from tests.bench.history.runs import ELSEWHERE, VOLUMES
from tests.bench.history.world import World

_SEEN = 50  # the files of each so many-th run were seen; of these, each thousandth is open still


def snapshots(world: World) -> None:
    """Enter who looked at the files of a run's first snapshot, where it has one."""
    state = "(CASE WHEN i % 50000 = 9 THEN 'open' ELSE 'closed' END)"
    made = f"(SELECT id FROM policies_runsnapshot WHERE id = i * {VOLUMES} + 1)"  # noqa: S608 - numbers of ours
    world.insert(
        OpenedSnapshot,
        f"{world.numbers(world.size.runs)} WHERE i % {_SEEN} = 9 AND EXISTS {made}",
        id=world.dialect.run("i"),
        run_id=world.dialect.run("i"),
        snapshot_id=f"i * {VOLUMES} + 1",
        part="-1",
        server=f"'{ELSEWHERE}'",
        asked_by="'user1'",
        state=state,
        asked_at=world.ago("86400"),
        opened_at=world.ago("86390"),
        last_used_at=world.ago("600"),
        next_at=world.ago("86000"),
        ended_at=f"CASE WHEN {state} = 'closed' THEN {world.ago('600')} END",
        about=world.dialect.constant({"file_system": "ext4"}),
    )


def copies(world: World) -> None:
    """Enter a copy out of each opened snapshot; all are over."""
    seen = f"(SELECT 1 FROM policies_openedsnapshot WHERE id = {world.dialect.run('i')})"  # noqa: S608 - as above
    world.insert(
        BroughtFiles,
        f"{world.numbers(world.size.runs)} WHERE EXISTS {seen}",
        id=world.dialect.run("i"),
        opened_id=world.dialect.run("i"),
        asked_by="'user1'",
        instance_id="'i-0123456789abcdef0'",
        region="'us-east-1'",
        paths=world.dialect.constant(["etc"]),
        above="'/home/app'",
        state="'done'",
        asked_at=world.ago("86000"),
        next_at=world.ago("85000"),
        ended_at=world.ago("85000"),
    )
