"""A run tells of each instance what ran there, how it ended, what it printed, and who thawed it."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from n2wbackup.lib import clock
from policies.api import as_json
from policies.management import output
from policies.models import PhaseResult, Run, RunTarget
from policies.selectors import labels, runs
from policies.selectors import worth as worths
from policies.services.retention import ages
from scripts_admin.domain.remote import Remote
from scripts_admin.models import ScriptVersion, User
from scripts_admin.services import folders
from tests import factories
from tests.policies.views.page import check_can_be_read_aloud, client_of, read

pytestmark = pytest.mark.django_db
ONE, TWO = "i-0123456789abcdef0", "i-0fedcba9876543210"
EVIL = '"><svg onload=alert(1)>'
SSH = Remote("ssh", "ec2-user", sudo=True).filled()


@pytest.fixture
def alice() -> User:
    return factories.alice()


@pytest.fixture
def run(alice: User) -> Run:
    """Give a run of two instances: the first did as it was told, the second thawed by itself."""
    policy = factories.PolicyFactory.create(owner=alice, name="p")
    at = clock.now() - timedelta(hours=1)
    made = factories.RunFactory.create(
        policy=policy,
        state="partial",
        consistency="crash",
        created_at=at,
        ended_at=at,
        thaw_by="instance",
    )
    for phase in ("before", "after", "complete"):
        factories.result(made, phase, outcome="missing")
    for instance, by, worth in ((ONE, "worker", "application"), (TWO, "eof", "crash")):
        target = factories.RunTargetFactory.create(
            run=made, instance_id=instance, remote=SSH.as_document(), thaw_by=by, consistency=worth,
            thaw_began_at=at + timedelta(seconds=1), thawed_at=at + timedelta(seconds=2), state="usable",
        )  # fmt: skip
        factories.RunSnapshotFactory.create(target=target, state="completed")
        _ran(target, "before", exit_code=0, stdout=f"froze {instance}\n")
    one, two = made.targets.order_by("pk")
    _ran(one, "after", argument="1", exit_code=0, thaw_by="worker")
    _ran(two, "after", argument="0", exit_code=1, outcome="failed", thaw_by="eof", stderr="no\n")
    _ran(two, "after", attempt=2, argument="0", exit_code=0, thaw_by="eof")
    return made


def _ran(target: RunTarget, phase: str, **columns: object) -> PhaseResult:
    begun = {"started_at": target.thaw_began_at, "ended_at": target.thaw_began_at}
    script: dict[str, Any] = {"script": f"{phase}_p@all.sh", **begun}
    return factories.result(target.run, phase, target=target, **{**script, **columns})


def test_what_ran_on_instances_counts_for_nothing_that_ran_here(run: Run) -> None:
    facts = worths.facts(run)

    assert (facts.before, facts.after) == ("missing", "missing")
    assert worths.facts_of(runs.whole().get(pk=run.pk)) == facts
    assert run.phases.count() == PhaseResult.objects.filter(run=run).count() == 3
    assert PhaseResult.remote.filter(run=run).count() == 5


def test_the_page_has_a_row_for_each_attempt_and_says_who_thawed(run: Run, alice: User) -> None:
    page = read(client_of(alice), f"/runs/{run.pk}/")

    check_can_be_read_aloud(page)
    assert f"after failed on {TWO}, so the snapshots are worth what a power failure" in page.text
    assert f"Read what after on {TWO} printed, correct the script, and test it." in page.text
    assert "as the server asked" in page.text
    assert "by itself: the connection ended" in page.text
    assert "after, attempt 2" in page.text
    assert "by SSH as ec2-user with EC2 Instance Connect, with sudo" in page.text
    assert f"End of what before printed on {ONE}" in " ".join(page.text.split())
    assert f"/runs/{run.pk}/instances/{TWO}/output/after/1/stderr" in page.links
    assert "None: the scripts of this policy run on its instances." in page.text
    assert "missing" not in page.text


def test_an_output_of_an_instance_has_its_page_its_text_and_no_strangers(
    run: Run, alice: User, client: Client
) -> None:
    address = f"/runs/{run.pk}/instances/{TWO}/output/before/1/stdout"
    owner = client_of(alice)

    page = read(owner, address)
    text = owner.get(f"{address}?from=0")
    strange = client_of(factories.charlie()).get(address)

    assert f"froze {TWO}" in page.text
    assert "froze " + ONE not in page.text
    assert f"{address}?from=0" in page.links
    assert text.content.decode() == f"froze {TWO}\n"
    assert f'filename="{run.pk}-{TWO}-before-1-stdout.txt"' in text["Content-Disposition"]
    assert strange.status_code == 404
    for wrong in ("i-0aaaaaaaaaaaaaaaa/output/before/1/stdout", f"{TWO}/output/after/3/stdout"):
        assert owner.get(f"/runs/{run.pk}/instances/{wrong}").status_code == 404
    assert owner.get(f"/runs/{run.pk}/output/before/1/stdout").status_code == 200


def test_the_text_that_ran_there_is_shown_to_who_may_see_the_folder(run: Run, alice: User) -> None:
    target = run.targets.get(instance_id=ONE)
    version = ScriptVersion.objects.create(
        folder=folders.of(alice),
        name="before_p@all.sh",
        sha256="a" * 64,
        at=clock.now(),
        source="page",
    )
    PhaseResult.remote.filter(target=target, phase="before").update(
        script_version=version, script_sha256="a" * 64
    )
    address = f"/runs/{run.pk}/instances/{ONE}/scripts/before/1/"

    page = read(client_of(alice), f"/runs/{run.pk}/")

    assert address in page.links
    assert ONE in read(client_of(alice), address).text
    assert client_of(factories.charlie()).get(address).status_code == 404
    assert client_of(alice).get(address.replace(ONE, TWO)).status_code == 404


def test_the_json_has_it_for_each_target(run: Run) -> None:
    report = as_json.run(labels.run(str(run.pk)))

    one, two = report["targets"]
    assert report["thaw_by"] == "instance"
    assert (one["thaw_by"], two["thaw_by"]) == ("worker", "eof")
    assert one["remote"] == SSH.as_document()
    assert list(one["phases"]) == ["before", "after"]
    after = two["phases"]["after"]
    assert (after["outcome"], after["argument"], after["exit_code"]) == ("failed", "0", 1)
    assert (after["thaw_by"], after["stderr"]) == ("eof", "no\n")
    assert one["phases"]["before"]["stdout"] == f"froze {ONE}\n"
    assert report["phases"]["before"]["outcome"] == "missing"


def test_a_target_without_scripts_of_its_own_has_no_phases(alice: User) -> None:
    run = factories.RunFactory.create()
    factories.RunTargetFactory.create(run=run)

    (target,) = as_json.run(labels.run(str(run.pk)))["targets"]

    assert (target["remote"], target["phases"], target["thaw_by"]) == (None, {}, None)


def test_the_text_of_a_run_tells_each_instance(run: Run) -> None:
    text = output.report(as_json.run(labels.run(str(run.pk))))

    assert f"on {TWO}, by ssh, thawed by eof" in text
    assert "  after        failed, exit code 1  (after_p@all.sh 0)" in text
    assert f"      stdout | froze {ONE}" in text


def test_a_phase_that_could_not_run_there_says_why(run: Run, alice: User) -> None:
    run.targets.filter(instance_id=ONE).update(script_problems={"before": f"It is {EVIL}"})
    PhaseResult.remote.filter(target__instance_id=ONE).delete()

    page = client_of(alice).get(f"/runs/{run.pk}/").content.decode()

    assert "It is &quot;&gt;&lt;svg onload" in page
    assert "<svg onload" not in page


def test_evil_outputs_names_and_users_are_escaped(run: Run, alice: User) -> None:
    target = run.targets.get(instance_id=ONE)
    RunTarget.objects.filter(pk=target.pk).update(remote={"by": "ssh", "user": EVIL, "host": EVIL})
    _ran(target, "after", attempt=2, script=EVIL, outcome="failed", stdout=EVIL)
    client = client_of(alice)

    for address in ("", f"instances/{ONE}/output/after/2/stdout"):
        page = client.get(f"/runs/{run.pk}/{address}").content.decode()
        assert "<svg onload" not in page
        assert "svg onload" in page


def test_outputs_of_instances_are_deleted_by_age_too(run: Run) -> None:
    long_ago = clock.now() - timedelta(days=400)
    Run.objects.filter(pk=run.pk).update(ended_at=long_ago)

    ages.tick()

    printed = PhaseResult.remote.filter(run=run).values_list("stdout_bytes", "stderr_bytes")
    assert set(printed) <= {(0, 0)}


def test_an_attempt_is_entered_once_and_those_here_are_others(run: Run) -> None:
    target = run.targets.get(instance_id=ONE)
    again = [PhaseResult(run=run, target=target, phase="before", outcome="failed")]

    PhaseResult.everywhere.bulk_create(again, ignore_conflicts=True)

    assert PhaseResult.remote.get(target=target, phase="before").outcome == "succeeded"
