"""Runs and all that belongs to them: what each became is reckoned from its number `i`, 0 being the oldest."""

from django.conf import settings

from policies.domain.retention.points import HoldKind
from policies.models import (
    Alarm,
    AlarmDelivery,
    Copy,
    DailyCount,
    DailySum,
    Hold,
    OutputChunk,
    PhaseResult,
    Policy,
    Proof,
    ProofEvent,
    Removal,
    Run,
    RunEvent,
    RunSnapshot,
    RunTarget,
    SnapshotSize,
)
from tests.bench.history.entered import REGION
from tests.bench.history.world import World

ELSEWHERE = "00000000-0000-0000-0000-00000000beef"  # a server that is not this one
VOLUMES, EVENTS = 2, 4
_COPIED = 20
_HELD = 10  # each so many-th run was held once
_PROVEN = 7  # each so many-th was proven; of these, each hundredth failed
_GOES = 20  # each so many-th was announced to go
_DAY = 86_400
_PRINTED = "flushed 12 tables"
_MADE = "('succeeded', 'partial', 'waiting')"


def runs(world: World) -> None:
    """Enter the runs: of a thousand that have ended, 945 succeeded, and 20 were started by a person."""
    size, at = world.size, world.dialect.at
    owner = f"((i % {size.policies}) % {size.users})"
    age = f"(({size.runs} - i) * {size.days * _DAY} / {size.runs})"
    created, open_one = f"({world.now} - {age})", _is_open(world)
    state = _state(world)
    world.insert(
        Run,
        world.numbers(size.runs),
        id=world.dialect.run("i"),
        policy_id=f"i % {size.policies} + 1",
        owner_id=f"{world.user} + {owner}",
        account_id=f"{world.account} + {owner}",
        policy_name=f"'policy' || (i % {size.policies})",
        owner_name=f"'user' || {owner}",
        trigger=_trigger(),
        scheduled_for=f"CASE WHEN {_trigger()} = 'schedule' THEN {at(created)} END",
        state=state,
        consistency=f"""CASE WHEN {open_one} THEN 'pending' WHEN {state} = 'succeeded' THEN 'application'
            WHEN {state} = 'partial' THEN 'crash' ELSE 'none' END""",
        success_requires="'application'",
        reason=f"CASE WHEN {state} IN ('failed', 'partial') THEN 'The after script failed.' ELSE '' END",
        server=f"'{ELSEWHERE}'",
        created_at=at(created),
        not_before=f"CASE WHEN {state} = 'queued' THEN {at(f'{world.now} + 840')} END",
        dispatched_at=at(created),
        started_at=f"CASE WHEN {state} <> 'queued' THEN {at(created)} END",
        ordered_at=f"CASE WHEN {state} <> 'queued' THEN {at(f'{created} + 1')} END",
        fired_at=f"CASE WHEN {state} <> 'queued' THEN {at(f'{created} + 2')} END",
        ended_at=f"CASE WHEN NOT {open_one} THEN {at(f'{created} + 300')} END",
        complete_started_at=f"CASE WHEN {state} = 'completing' THEN {at(created)} END",
        freeze_seconds="0.5 + (i % 100) / 100.0",
        hold_seconds="0.1 + (i % 100) / 1000.0",
        thaw_by="'worker'",
        thaw_attempts="1",
        restore_point=f"{state} IN ('succeeded', 'partial')",
        outputs_deleted_at=f"CASE WHEN {_is_old(world, 'outputs')} THEN {world.ago('86400')} END",
    )


def _is_open(world: World) -> str:
    return f"(i >= {world.size.runs - world.size.open})"


def _is_old(world: World, kind: str) -> str:
    days = settings.N2W_KEEP_DAYS[kind]
    size = world.size
    return f"(({size.runs} - i) * {size.days * _DAY} / {size.runs} > {days * _DAY})"


def _state(world: World) -> str:
    ended = """CASE WHEN i * 7919 % 1000 < 945 THEN 'succeeded' WHEN i * 7919 % 1000 < 955 THEN 'partial'
        WHEN i * 7919 % 1000 < 980 THEN 'failed' WHEN i * 7919 % 1000 < 985 THEN 'cancelled'
        WHEN i * 7919 % 1000 < 990 THEN 'skipped' ELSE 'missed' END"""
    unfinished = (
        "CASE WHEN i % 10 = 0 THEN 'queued' WHEN i % 10 = 1 THEN 'completing' ELSE 'waiting' END"
    )
    return f"(CASE WHEN {_is_open(world)} THEN {unfinished} ELSE {ended} END)"


def _trigger() -> str:
    return """(CASE WHEN i * 6101 % 1000 < 970 THEN 'schedule' WHEN i * 6101 % 1000 < 990 THEN 'manual'
        WHEN i * 6101 % 1000 < 998 THEN 'retry' ELSE 'test' END)"""


def targets(world: World) -> None:
    """Enter one target a run."""
    size, state = world.size, _state(world)
    number = f"(i % {size.policies})"
    world.insert(
        RunTarget,
        world.numbers(size.runs),
        id="i + 1",
        run_id=world.dialect.run("i"),
        instance_id=f"'i-' || {world.dialect.padded(number)}",
        region=f"'{REGION}'",
        description_id=f"md5('d ' || {number}) || md5('e ' || {number})",
        expected_volume_ids=world.dialect.constant(["vol-0", "vol-1"]),
        state=f"CASE {state} WHEN 'waiting' THEN 'fired' WHEN 'succeeded' THEN 'usable' ELSE 'failed' END",
        consistency="'application'",
        fired_at=world.ago("0"),
        returned_before_thaw=world.dialect.constant(True),
    )


def snapshots(world: World) -> None:
    """Enter the snapshots of each run that made some; those of runs that wait are pending."""
    size, state = world.size, _state(world)
    for number in range(VOLUMES):
        volume = f"(i % {size.policies}) * {VOLUMES} + {number}"
        world.insert(
            RunSnapshot,
            f"{world.numbers(size.runs)} WHERE {state} IN {_MADE}",
            id=f"i * {VOLUMES} + {number} + 1",
            target_id="i + 1",
            snapshot_id=f"'snap-' || {world.dialect.padded(f'i * {VOLUMES} + {number}')}",
            volume_id=f"'vol-' || {world.dialect.padded(volume)}",
            state=f"CASE {state} WHEN 'waiting' THEN 'pending' ELSE 'completed' END",
            progress=f"CASE {state} WHEN 'waiting' THEN 10 ELSE 100 END",
            created_at=world.ago(f"({size.runs} - i) * {size.days * _DAY} / {size.runs}"),
        )


def phases(world: World) -> None:
    """Enter the results of before and after; old outputs are deleted."""
    size = world.size
    for number, phase in enumerate(("before", "after")):
        world.insert(
            PhaseResult,
            world.numbers(size.runs),
            id=f"i * 2 + {number} + 1",
            run_id=world.dialect.run("i"),
            phase=f"'{phase}'",
            outcome="'succeeded'",
            exit_code="0",
            script=f"'{phase}_policy.sh'",
            stdout_bytes=str(len(_PRINTED)),
        )
        world.insert(
            OutputChunk,
            f"{world.numbers(size.runs)} WHERE NOT {_is_old(world, 'outputs')}",
            result_id=f"i * 2 + {number} + 1",
            stream="'stdout'",
            start="0",
            line="0",
            data=world.dialect.octets(_PRINTED),
        )


def events(world: World) -> None:
    """Enter the history of each run."""
    size = world.size
    for number in range(EVENTS):
        world.insert(
            RunEvent,
            world.numbers(size.runs),
            id=f"i * {EVENTS} + {number} + 1",
            run_id=world.dialect.run("i"),
            at=world.ago(f"({size.runs} - i) * {size.days * _DAY} / {size.runs} - {number}"),
            state="'preparing'",
            text=f"'step {number} of the run'",
        )


def holds(world: World) -> None:
    """A person held each tenth run for a while; of these, each fiftieth is held still."""
    world.insert(
        Hold,
        f"{world.numbers(world.size.runs)} WHERE i % {_HELD} = 3",
        run_id=world.dialect.run("i"),
        kind=f"'{HoldKind.FREEZER.value}'",
        reason="'the auditors asked for it'",
        by="'user1'",
        created_at=world.ago("86400"),
        released_at=f"CASE WHEN i % {_HELD * 50} <> 3 THEN {world.ago('3600')} END",
    )


def copies(world: World) -> None:
    """The first snapshot of each twentieth run has a copy; of these, every hundredth is being made."""
    target = world.dialect.run("i")
    made = f"(SELECT 1 FROM {RunSnapshot._meta.db_table} WHERE id = i * {VOLUMES} + 1)"  # noqa: S608 - as below
    world.insert(
        Copy,
        f"{world.numbers(world.size.runs)} WHERE i % {_COPIED} = 11 AND EXISTS {made}",
        id=target,
        run_id=target,
        source_id=f"i * {VOLUMES} + 1",
        region="'eu-central-1'",
        state=f"CASE WHEN i % {_COPIED * 100} = 11 THEN 'pending' ELSE 'completed' END",
        snapshot_id="'snap-c' || i",
        created_at=world.ago("86400"),
        next_at=world.ago("3600"),
    )


def sizes(world: World) -> None:
    """Every first snapshot of a run that made some was counted."""
    world.insert(
        SnapshotSize,
        f"(SELECT id FROM {RunSnapshot._meta.db_table} WHERE id % {VOLUMES} = 1) AS s",  # noqa: S608 - as below
        snapshot_id="id",
        blocks="2048",
        changed="id % 2048",
        measured_at=world.ago("86400"),
    )


def removals(world: World) -> None:
    """Each twentieth run is announced to go; of these, every second one is over."""
    world.insert(
        Removal,
        f"{world.numbers(world.size.runs)} WHERE i % {_GOES} = 7",
        run_id=world.dialect.run("i"),
        why="'another one of its day is kept'",
        announced_at=world.ago("86400"),
        goes_after=world.ago("3600"),
        begun_at=f"CASE WHEN i % {_GOES * 2} = 7 THEN {world.ago('700')} END",
        ended_at=f"CASE WHEN i % {_GOES * 2} = 7 THEN {world.ago('600')} END",
    )


def proofs(world: World) -> None:
    """Each seventh run was proven; the key of a proof is its run's. One of each policy's is the last."""
    some = f"{world.numbers(world.size.runs)} WHERE i % {_PROVEN} = 5"
    at = world.ago(f"({world.size.runs} - i) * {world.size.days * _DAY} / {world.size.runs}")
    world.insert(
        Proof,
        some,
        id=world.dialect.run("i"),
        run_id=world.dialect.run("i"),
        policy_id=f"(i % {world.size.policies}) + 1",
        owner_id=f"{world.user} + ((i % {world.size.policies}) % {world.size.users})",
        snapshot_id=f"'snap-' || {world.dialect.padded(f'i * {VOLUMES}')}",
        region=f"'{REGION}'",
        level="3",
        reached="3",
        recipe="'mariadb'",
        state=f"CASE WHEN i % {_PROVEN * 100} = 5 THEN 'failed' ELSE 'passed' END",
        asked_at=at,
        next_at=at,
        ended_at=at,
        seconds="2.0",
        cost_usd="0.0003",
    )
    world.insert(
        ProofEvent,
        some,
        proof_id=world.dialect.run("i"),
        at=at,
        state="'passed'",
        text="'Passed level 3 (agrees).'",
    )
    policy, proof = Policy._meta.db_table, Proof._meta.db_table
    newest = f"(SELECT p.id FROM {proof} AS p WHERE p.policy_id = {policy}.id ORDER BY p.asked_at DESC LIMIT 1)"  # noqa: S608 - as below
    world.do(f"UPDATE {policy} SET last_proof_id = {newest}, proven_by_id = {newest}")  # noqa: S608 - names of tables


def latest(world: World) -> None:
    """Keep what runs keep of their policy: the last run that ended, and the last success."""
    run, policy = Run._meta.db_table, Policy._meta.db_table
    of_it = f"FROM {run} AS r WHERE r.policy_id = {policy}.id AND r.ended_at IS NOT NULL"
    newest = "ORDER BY r.created_at DESC LIMIT 1"
    world.do(
        f"UPDATE {policy} SET last_run_id = (SELECT r.id {of_it} {newest}), last_success_at = "  # noqa: S608 - names of tables
        f"(SELECT r.ended_at {of_it} AND r.state = 'succeeded' {newest})"
    )


def counts(world: World) -> None:
    """Count the ends of each policy and day, as each end of a run does."""
    day = world.dialect.day("ended_at")
    world.insert(
        DailyCount,
        f"(SELECT policy_id, {day} AS day, state, count(*) AS runs FROM {Run._meta.db_table} "  # noqa: S608 - as above
        f"WHERE ended_at IS NOT NULL AND \"trigger\" <> 'test' GROUP BY policy_id, {day}, state) AS c",
        policy_id="policy_id",
        day="day",
        state="state",
        runs="runs",
    )


def sums(world: World) -> None:
    """Sum the days that are over, by owner and of all, as the server does each day."""
    today = world.dialect.day(world.ago("0"))
    counts = (
        f"{DailyCount._meta.db_table} AS c JOIN {Policy._meta.db_table} AS p ON p.id = c.policy_id "
        f"WHERE c.day < {today}"
    )
    columns = {"day": "day", "state": "state", "runs": "runs"}
    for owner, by in (("NULL", ""), ("p.owner_id", ", p.owner_id")):
        world.insert(
            DailySum,
            f"(SELECT {owner} AS owner_id, c.day, c.state, sum(c.runs) AS runs FROM {counts} "  # noqa: S608 - as above
            f"GROUP BY c.day, c.state{by}) AS s",
            owner_id="CAST(owner_id AS bigint)",
            **columns,
        )


def alarms(world: World) -> None:
    """Enter the alarms of the last ninety days, each sent once."""
    since = world.ago(str(90 * _DAY))
    world.insert(
        Alarm,
        f"(SELECT * FROM {Run._meta.db_table} WHERE ended_at > {since} "  # noqa: S608 - as above
        "AND state IN ('failed', 'partial', 'missed')) AS r",
        kind="state",
        policy_id="policy_id",
        owner_id="owner_id",
        run_id="id",
        label="owner_name || '/' || policy_name",
        title="'A backup of ' || policy_name || ': ' || state",
        text="reason",
        created_at="ended_at",
        not_before="ended_at",
        spread_at="ended_at",
    )
    world.insert(
        AlarmDelivery,
        f"{Alarm._meta.db_table} AS a",
        alarm_id="a.id",
        shown="'https://alarms.example.org'",
        state="'sent'",
        attempts="1",
        next_at="a.created_at",
        ended_at="a.created_at",
    )
