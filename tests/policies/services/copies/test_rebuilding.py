"""Restore points of a lost server are found by their tags, and adopted once, whatever dies."""

import json
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from n2wbackup.lib import clock, home
from policies.domain.errors import NotPermittedError, RefusedError
from policies.models import Account, Copy, Policy, Run, RunSnapshot, Server
from policies.ports import FireRequest
from policies.selectors import copies as copies_selector
from policies.services.copies import rebuilding
from policies.services.copies.rebuilding import Place
from policies.services.retention import planning
from tests.factories import charlie
from tests.policies.services.copies.ground import HERE, THERE, Copying, later
from tests.policies.services.killed import KilledError

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
LOST = "5f0f7f0c-6a8e-4a52-9b43-1d2f4f1c9a01"
LONG_AGO = 60 * 24 * 4
SVG = '"><svg onload=alert(1)>\x1b[31m'


def places(copying: Copying) -> list[Place]:
    return [
        Place(account, region)
        for account in (copying.policy.account, copying.second)
        for region in (HERE, THERE)
    ]


def run_of_lost(copying: Copying, policy: str = "policy1", volumes: int = 2) -> str:
    """Have the lost server make the snapshots of an instance; return the id of its run."""
    instance, run = copying.cloud.add_instance(HERE, volumes), str(uuid4())
    tags = {
        "Name": f"alice/{policy} {instance.instance_id}",
        "n2wbackup:server": LOST,
        "n2wbackup:run": run,
        "n2wbackup:policy": policy,
        "n2wbackup:owner": "alice",
        "n2wbackup:consistency": "application",
    }
    copying.cloud.fire(FireRequest(HERE, tags, "x", instance_id=instance.instance_id), 10)
    copying.cloud.advance()
    return run


def age(copying: Copying) -> None:
    """Let the snapshots in memory have been made four days ago."""
    from dataclasses import replace  # noqa: PLC0415

    for cloud in (copying.cloud, copying.far):
        for region in (HERE, THERE):
            for one in cloud.in_region(region):
                old = clock.now() - timedelta(minutes=LONG_AGO)
                cloud.keep(region, replace(one, started_at=one.started_at or old))


@pytest.fixture
def lost(copying: Copying) -> str:
    made = run_of_lost(copying)
    age(copying)
    return made


def adopt(copying: Copying, *confirmed: str) -> list[Run]:
    return rebuilding.adopt(rebuilding.look(places(copying)), confirmed)


def test_looking_changes_nothing(copying: Copying, lost: str) -> None:
    found = rebuilding.look(places(copying))
    ((point,), problems) = (found.points, found.problems)
    assert (str(point.run), point.server, point.policy) == (lost, LOST, "policy1")
    assert len(point.originals) == 2
    assert problems == []
    assert not Run.objects.exists()
    assert not [call for call in copying.cloud.calls if call.method == "tag"]


def test_an_adopted_point_can_be_restored_and_is_retained(copying: Copying, lost: str) -> None:
    (run,) = adopt(copying)

    run.refresh_from_db()
    assert (str(run.pk), run.policy, run.owner) == (lost, copying.policy, copying.policy.owner)
    assert (run.restore_point, run.server) == (True, home.server_id())
    (target,) = run.targets.all()
    assert target.instance_id.startswith("i-")
    assert (target.state, len(target.expected_volume_ids)) == ("usable", 2)
    assert target.consistency == "application"
    tags = [one.tags for one in copying.cloud.in_region(HERE)]
    assert {one["n2wbackup:server"] for one in tags} == {home.server_id()}
    assert {one["n2wbackup:adopted-from"] for one in tags} == {LOST}
    Policy.objects.update(keep_last=1)
    copying.policy.refresh_from_db()
    new = copying.backed_up()
    kept = {verdict.point.key: verdict for verdict in planning.of_policy(copying.policy)}
    assert kept[str(new.pk)].keep
    assert "server's tag" not in str(kept[str(run.pk)].reasons)


def test_adopting_twice_changes_nothing(copying: Copying, lost: str) -> None:
    adopt(copying)
    rows = list(RunSnapshot.objects.values_list("pk", "snapshot_id"))
    assert adopt(copying) == []
    assert rebuilding.look(places(copying)).points == []
    assert list(RunSnapshot.objects.values_list("pk", "snapshot_id")) == rows


@pytest.mark.parametrize("step", ["rows", "tags", "tagged"])
def test_a_process_that_dies_is_gone_on_with(
    copying: Copying, lost: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise KilledError

    real = copying.cloud.tag

    def tags_and_dies(*asked: object) -> None:
        real(*asked)  # type: ignore[arg-type]
        raise KilledError

    steps: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
        "rows": lambda at: at.setattr(rebuilding, "_targets", dies),
        "tags": lambda at: at.setattr(copying.cloud, "tag", dies),
        "tagged": lambda at: at.setattr(copying.cloud, "tag", tags_and_dies),
    }
    with monkeypatch.context() as killed:
        steps[step](killed)
        with pytest.raises(KilledError):
            adopt(copying)
    half = Run.objects.first()
    if half is not None:
        assert half.server == LOST
        assert all(verdict.keep for verdict in planning.of_policy(copying.policy))
    adopt(copying)
    assert Run.objects.get().server == home.server_id()
    assert RunSnapshot.objects.count() == 2


def test_a_server_that_may_be_alive_is_not_robbed(copying: Copying) -> None:
    run_of_lost(copying)  # just now
    with pytest.raises(RefusedError, match=f"--claim {LOST}"):
        adopt(copying)
    assert not Run.objects.exists()
    assert {one.tags["n2wbackup:server"] for one in copying.cloud.in_region(HERE)} == {LOST}
    assert len(adopt(copying, LOST)) == 1


def test_a_living_server_of_this_database_is_not_robbed(copying: Copying, lost: str) -> None:
    now = clock.now()
    server = Server.objects.create(
        id=LOST, host="one", version="1", first_seen_at=now, heartbeat_at=now
    )
    with pytest.raises(RefusedError, match="is alive on this database"):
        adopt(copying)
    assert not Run.objects.exists()
    Server.objects.filter(pk=server.pk).update(heartbeat_at=now - timedelta(days=3))
    assert len(adopt(copying)) == 1


def test_copies_alone_are_adopted_with_their_sources_as_gone(copying: Copying) -> None:
    copying.rule(account=copying.second)
    run = copying.backed_up()
    copying.copied(run)
    source = run.targets.get().snapshots.get().snapshot_id
    (copy_id,) = copying.in_aws()
    copying.cloud.delete_snapshot(source)
    Run.objects.all().delete()
    copying.far.tag(THERE, [copy_id], {"n2wbackup:server": LOST})
    with later(LONG_AGO):
        (adopted,) = adopt(copying)

    assert adopted.pk == run.pk
    adopted.refresh_from_db()
    assert not adopted.restore_point
    (usable,) = copies_selector.usable(adopted)
    assert (usable.snapshot_id, usable.account) == (copy_id, copying.second)
    assert usable.source_id == source
    assert RunSnapshot.objects.get().state == "gone"
    assert adopted.fired_at == run.fired_at


def test_what_the_database_lost_of_this_server_itself_is_found(copying: Copying) -> None:
    copying.rule(account=copying.second)
    run = copying.backed_up()
    copying.copied(run)
    assert rebuilding.look(places(copying)).points == []
    Run.objects.all().delete()
    with later(1):
        (adopted,) = adopt(copying)
    assert adopted.pk == run.pk
    assert Copy.objects.count() == 1


def test_the_owner_is_the_accounts_and_not_what_a_tag_says(copying: Copying, lost: str) -> None:
    charlie()
    for one in copying.cloud.in_region(HERE):
        copying.cloud.tag(HERE, [one.snapshot_id], {"n2wbackup:owner": "charlie"})
    (run,) = adopt(copying)
    assert (run.owner, run.owner_name) == (copying.policy.owner, "alice")
    assert not Run.objects.visible_to(charlie()).exists()


def shared(copying: Copying) -> Account:
    """Let Charlie, too, have an account here that leads to the AWS account of Alice's policy."""
    from tests.factories import AccountFactory  # noqa: PLC0415

    return AccountFactory.create(
        owner=charlie(), name="a-first", access_key_id="AKIASHARED0000000001"
    )


def test_in_a_shared_aws_account_each_gets_what_was_theirs(copying: Copying, lost: str) -> None:
    theirs = shared(copying)
    first = [Place(theirs, HERE), *places(copying)]
    (run,) = rebuilding.adopt(rebuilding.look(first))
    assert (run.owner_name, run.account) == ("alice", copying.policy.account)
    assert not Run.objects.visible_to(charlie()).exists()


def test_in_a_shared_aws_account_nobody_gets_what_names_neither(
    copying: Copying, lost: str
) -> None:
    for one in copying.cloud.in_region(HERE):
        copying.cloud.tag(HERE, [one.snapshot_id], {"n2wbackup:owner": "somebody"})
    found = rebuilding.look([Place(shared(copying), HERE), *places(copying)])
    assert rebuilding.adopt(found) == []
    assert "is reached by alice/lab and charlie/a-first" in found.problems[0]
    assert not Run.objects.exists()
    tags = [one.tags for one in copying.cloud.in_region(HERE)]
    assert {one["n2wbackup:server"] for one in tags} == {LOST}


def test_a_tag_adds_no_volume_to_a_run_of_this_server(copying: Copying) -> None:
    run = copying.backed_up()
    volume = copying.cloud.add_volume(HERE).volume_id
    forged = {"n2wbackup:server": home.server_id(), "n2wbackup:run": str(run.pk)}
    copying.cloud.fire(FireRequest(HERE, forged, "x", volume_id=volume), 10)
    copying.cloud.advance()
    with later(LONG_AGO):
        found = rebuilding.look(places(copying))
        rebuilding.adopt(found)
    assert f"had no target with {volume}" in found.problems[0]
    assert RunSnapshot.objects.count() == 1
    assert run.targets.get().expected_volume_ids != [volume]


def test_a_run_of_another_owner_is_left_alone(copying: Copying, lost: str) -> None:
    from tests.factories import PolicyFactory, RunFactory  # noqa: PLC0415

    theirs = RunFactory.create(pk=lost, policy=PolicyFactory.create(owner=charlie()))
    found = rebuilding.look(places(copying))
    assert rebuilding.adopt(found) == []
    assert "belongs to charlie" in found.problems[0]
    theirs.refresh_from_db()
    assert theirs.owner == charlie()
    assert not RunSnapshot.objects.exists()


def test_a_refusal_leaves_the_rest_for_a_second_call(copying: Copying, lost: str) -> None:
    copying.cloud.fail_next("tag", NotPermittedError("Tagging is denied: allow it."))
    found = rebuilding.look(places(copying))
    assert rebuilding.adopt(found) == []
    assert "Tagging is denied" in found.problems[0]
    assert len(adopt(copying)) == 1


def test_the_command_lists_then_adopts(
    copying: Copying, lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in copying.cloud.in_region(HERE):
        copying.cloud.tag(HERE, [one.snapshot_id], {"n2wbackup:owner": SVG})
    words = ["rebuild_from_aws", "--account", "alice/lab", "--region", HERE]
    call_command(*words)
    out = capsys.readouterr().out
    assert f"server {LOST}" in out
    assert "1 restore point, " in out
    assert "\x1b" not in out
    assert "Nothing was changed" in out
    call_command(*words, "--json")
    assert json.loads(capsys.readouterr().out)["points"][0]["run"] == lost
    call_command(*words, "--adopt")
    assert "1 adopted." in capsys.readouterr().out
    call_command(*words)
    assert "No snapshot of another server" in capsys.readouterr().out


def test_the_command_refuses_what_it_cannot_look_at(copying: Copying) -> None:
    with pytest.raises(CommandError, match="not an AWS region"):
        call_command("rebuild_from_aws", "--region", "mars")
    with pytest.raises(CommandError, match="There is no account"):
        call_command("rebuild_from_aws", "--account", "alice/nope")
    for option in ("--server", "--claim"):
        with pytest.raises(CommandError, match=f"{option} 'x' is no server's id"):
            call_command("rebuild_from_aws", "--adopt", option, "x")
    with pytest.raises(CommandError, match="--claim goes with --adopt"):
        call_command("rebuild_from_aws", "--claim", LOST)
    Account.objects.all()
