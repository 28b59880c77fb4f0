"""A server that the last release left with an open window is brought to the code of today."""

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from n2wbackup.demo.aws import SimulatedAws, VolumeSpec
from tests.contract import aws_clients
from tests.ground import postgresql, processes
from tests.system.product import LABEL, OWNER, Mark, Product, started
from tests.system.upgrade import kept as keeping
from tests.system.upgrade.kept import DATABASES, KEY_ID, SECRET, Kept

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(140)]

THAW_SECONDS = END_SECONDS = 180.0
BEFORE_SECONDS = 3.0  # what before has by the record; past this nothing of it can act any more
# "policies.services.runs" or "scripts_admin/runners/guard.py"; not "scripts/alice1".
MODULE = re.compile(r"\b(?:n2wbackup|policies|scripts_admin)(?:[./]\w|\b.*\.py\b)")
Json = dict[str, Any]


@dataclass
class Told:
    """What the commands say of the server; `run` is the one whose window was open."""

    runs: list[Json]
    run: Json
    policy: Json
    alarms: list[Json]


@dataclass
class Story:
    """What was seen, step by step. Made once for a database, as each step takes its seconds."""

    product: Product
    shown: Json  # by the release
    migrated: Told
    shown_run: Json
    export: str
    was_frozen: bool
    still_open: list[int] = field(default_factory=list)  # windows, after each pass of the watchdog
    thawed: Told = field(init=False)
    is_frozen: bool = field(init=False)
    marks_of_thaw: list[Mark] = field(init=False)
    record_is_left: bool = field(init=False)
    ended: Told = field(init=False)
    snapshots: set[str] = field(init=False)
    rekeyed: dict[str, int] = field(init=False)

    def new_alarms(self, told: Told) -> list[str]:
        """Return the kinds of those that the release did not have."""
        known = {alarm["pk"] for alarm in self.shown["alarms"]}
        return [alarm["fields"]["kind"] for alarm in told.alarms if alarm["pk"] not in known]


@pytest.fixture(scope="module", params=DATABASES)
def story(request: pytest.FixtureRequest) -> Iterator[Story]:
    with ExitStack() as stack:
        folder = stack.enter_context(processes.folder())
        url = ""
        if request.param == "postgresql":
            url = stack.enter_context(postgresql.running()).url()
        aws = stack.enter_context(SimulatedAws(folder / "aws", pending_seconds=1))
        aws.add_account(KEY_ID, SECRET)
        found = _laid_out(Kept(request.param), folder, aws, url)
        stack.callback(shutil.rmtree, found.product.memory, ignore_errors=True)
        _thaw(found)
        _end(found)
        yield found


def _laid_out(kept: Kept, folder: Path, aws: SimulatedAws, url: str) -> Story:
    """Put the release's server where this code finds it, and migrate."""
    home, run = folder / "home", str(uuid4())
    instance = aws.add_instance(volumes=[VolumeSpec(), VolumeSpec()])
    fill = keeping.words(home, str(uuid4()), run, instance.instance_id, instance.volume_ids)
    kept.lay_out(home, fill)
    kept.load(home, url, fill)
    marks = home / "scripts" / OWNER / "marks"
    product = Product(home, aws, processes.free_port(), marks, url, instance.instance_id)
    product.log = folder / "serve.log"
    shown = kept.shown(fill)
    _make_snapshots(aws, instance.instance_id, shown["tags"])
    product.succeed("migrate", "--verbosity", "0")
    shown_run, export = product.show(run), product.succeed("export")
    was_frozen = (marks.parent / "frozen").exists()
    return Story(product, shown, _told(product, run), shown_run, export, was_frozen)


def _make_snapshots(aws: SimulatedAws, instance: str, tags: Mapping[str, str]) -> None:
    """Have what AWS made of the call whose answer the release did not live to see."""
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    wanted: Any = {"ResourceType": "snapshot", "Tags": listed}
    aws_clients.ec2(aws).create_snapshots(
        InstanceSpecification={"InstanceId": instance}, TagSpecifications=[wanted]
    )


def _told(product: Product, run: str) -> Told:
    runs = json.loads(product.succeed("list_runs", "--json"))["runs"]
    return Told(
        runs=runs,
        run=next(each for each in runs if each["id"] == run),
        policy=json.loads(product.succeed("show_policy", LABEL, "--json")),
        alarms=json.loads(product.succeed("dumpdata", "policies.alarm")),
    )


def _thaw(story: Story) -> None:
    """Do what the watchdog does, under its first name, until no window is open."""
    product, run = story.product, story.shown["run"]["id"]
    until = time.monotonic() + THAW_SECONDS
    while story.still_open[-1:] != [0]:
        assert time.monotonic() < until, product.marks()
        time.sleep(BEFORE_SECONDS if story.still_open else 0)
        story.still_open.append(json.loads(product.succeed("recover", "--json"))["still_open"])
    story.thawed = _told(product, run)
    story.is_frozen = (product.folder / "frozen").exists()
    story.marks_of_thaw = product.marks("after", "end")
    story.record_is_left = (product.home / "spool" / run / "record.json").exists()


def _end(story: Story) -> None:
    """Serve until the run has ended."""
    product, run = story.product, story.shown["run"]["id"]
    with started(product):
        product.wait_for_end(run, seconds=END_SECONDS)
        story.ended = _told(product, run)
    story.snapshots = {each.snapshot_id for each in product.aws.snapshots()}
    story.rekeyed = json.loads(product.succeed("rekey", "--json"))["rekeyed"]


def lacks(new: Any, old: Any, path: str = "") -> list[str]:
    """Return where the new does not say what the old said. It may say more: keys, not entries."""
    pairs: list[tuple[str, Any, Any]] = []
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = [(f"{path}.{key}", new.get(key), old[key]) for key in old]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(f"{path}[{n}]", *pair) for n, pair in enumerate(zip(new, old, strict=True))]
    else:
        return [] if old == new else [f"{path}: {old!r} became {new!r}"]
    return [miss for place, now, then in pairs for miss in lacks(now, then, place)]


def test_the_runs_of_the_release_are_listed_and_shown_as_it_did(story: Story) -> None:
    ends = {(run["policy"], run["trigger"], run["state"]) for run in story.shown["runs"]}

    assert {state for _, _, state in ends} == {
        *("succeeded", "partial", "failed", "skipped", "cancelled", "frozen")
    }
    assert {trigger for _, trigger, _ in ends} == {"manual", "schedule", "test"}
    assert lacks(story.migrated.runs, story.shown["runs"]) == []
    assert lacks(story.shown_run, story.shown["run"]) == []


def test_its_policies_and_alarms_are_as_they_were(story: Story) -> None:
    assert lacks(story.migrated.policy, story.shown["policy"]) == []
    kinds = {alarm["fields"]["kind"] for alarm in story.shown["alarms"]}
    assert {"failed", "partial", "may_be_frozen", "recovered", "ping_success"} <= kinds
    assert lacks(story.migrated.alarms, story.shown["alarms"]) == []


def test_it_exports_the_people_accounts_schedules_and_policies_that_it_had(story: Story) -> None:
    old = yaml.safe_load(story.shown["export"])

    sizes = [len(old[kind]) for kind in ("users", "accounts", "schedules", "policies")]
    assert sizes == [2, 2, 2, 3]
    assert lacks(yaml.safe_load(story.export), old) == []


def test_what_it_exports_changes_nothing_when_it_is_applied(story: Story, tmp_path: Path) -> None:
    path = tmp_path / "exported.yaml"
    path.write_text(story.shown["export"])

    done = json.loads(story.product.succeed("apply", str(path), "--json"))

    assert not done["changed"]
    assert len(done["changes"]) == 9


def test_after_is_run_with_0_and_once_more_as_memory_is_lost(story: Story) -> None:
    assert [mark.argument for mark in story.marks_of_thaw] == ["0", "0"]
    assert (story.still_open[0], story.still_open[-1]) == (1, 0)


def test_the_application_is_thawed(story: Story) -> None:
    assert story.was_frozen
    assert not story.is_frozen
    assert not story.record_is_left
    assert story.thawed.policy["may_be_frozen_since"] is None


def test_people_are_told_how_the_run_ended(story: Story) -> None:
    assert "partial" not in story.new_alarms(story.thawed)
    assert {"partial", "ping_fail"} <= set(story.new_alarms(story.ended))


def test_the_run_tells_at_once_what_became_of_its_window(story: Story) -> None:
    run = story.thawed.run

    assert (story.migrated.run["state"], run["state"]) == ("frozen", "waiting")
    assert run["phases"]["before"]["outcome"] == "interrupted"
    after = run["phases"]["after"]
    assert (after["outcome"], after["argument"], after["stdout"]) == ("succeeded", "0", "thawed\n")
    assert [target["state"] for target in run["targets"]] == ["unknown"]


def test_the_run_ends_partial_with_the_snapshots_that_bear_its_tag(story: Story) -> None:
    run = story.ended.run

    assert (run["policy"], run["state"], run["consistency"]) == (LABEL, "partial", "crash")
    assert {snapshot["id"] for snapshot in run["snapshots"]} == story.snapshots
    assert len(story.snapshots) == 2
    complete = run["phases"]["complete"]
    assert (complete["outcome"], complete["argument"]) == ("succeeded", "0")
    assert not (story.product.home / "spool" / run["id"]).exists()


def test_the_other_runs_stay_as_they_were(story: Story) -> None:
    open_one = story.shown["run"]["id"]
    old = [run for run in story.shown["runs"] if run["id"] != open_one]
    known = {run["id"] for run in old}

    for told in (story.thawed, story.ended):
        assert lacks([run for run in told.runs if run["id"] in known], old) == []


def test_its_secrets_are_read(story: Story) -> None:
    keys = {call.access_key_id for call in story.product.aws.calls("DescribeSnapshots")}

    assert keys == {KEY_ID}  # who signed with the secret that goes with it
    assert story.rekeyed["policies.Account.secret_access_key"] == 2
    assert story.rekeyed["policies.AlarmReceivers.urls"] == 2
    assert story.rekeyed["policies.AlarmReceivers.ping_url"] == 2
    assert story.rekeyed["policies.AlarmDelivery.url"] > 0


@pytest.mark.parametrize("database", DATABASES)
def test_the_record_of_a_window_names_no_module(database: str) -> None:
    record = json.loads((Kept(database).open_window / "record.json").read_text())

    assert [text for text in strings(record) if MODULE.search(text)] == []
    assert len(strings(record)) > 20


def strings(found: Any) -> list[str]:
    """Return every string in it, names included."""
    if isinstance(found, dict):
        return [*found, *(text for value in found.values() for text in strings(value))]
    if isinstance(found, list):
        return [text for value in found for text in strings(value)]
    return [found] if isinstance(found, str) else []


@pytest.mark.parametrize(
    "text", ["policies.services.runs", "scripts_admin/runners/guard.py", "-m n2wbackup.lib"]
)
def test_a_modules_name_would_be_found(text: str) -> None:
    assert MODULE.search(text)
