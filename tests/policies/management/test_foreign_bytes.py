"""Bytes of scripts, of AWS and of users that reach a terminal, JSON, a page or a row."""

import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db.models import Value
from django.test import Client

from n2wbackup.lib import clock
from policies.domain.errors import BackupError, InputError
from policies.management import output
from policies.models import Description, Run, RunEvent
from policies.selectors import outputs
from policies.services import runs
from scripts_admin.models import User
from tests import factories

# A title, a cleared screen, C1, a change of direction, nothing to see, a line separator, a lone surrogate's escape.
HOSTILE = "\x1b]0;owned\x07\x1b[2J \x9b31m \u202eabc\u2066 a\u200bb \u2028 end\x7f"
WRITTEN = r"\x1b]0;owned\x07\x1b[2J \x9b31m \u202eabc\u2066 a\u200bb \u2028 end\x7f"
ROOT = Path(__file__).resolve().parents[3]


def acted_on(text: str) -> set[str]:
    kept = {"\n", "\t"}
    wrong = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return {each for each in set(text) - kept if unicodedata.category(each) in wrong}


@pytest.fixture
def run(db: None) -> Run:
    """Give a run of which an older version stored every text as it came."""
    owner = factories.alice()
    policy = factories.PolicyFactory.create(owner=owner, name="nightly")
    found: Run = factories.RunFactory.create(
        policy=policy, owner=owner, state="failed", ended_at=clock.now()
    )
    Run.objects.filter(pk=found.pk).update(reason=Value(HOSTILE), created_at=clock.now())
    mapping = {"DeviceName": HOSTILE, "Ebs": {"VolumeId": "vol-1"}}
    description = Description.objects.create(
        digest="0" * 64,
        resource_id="i-1",
        document={"instance": {"BlockDeviceMappings": [mapping]}},
        last_seen_at=clock.now(),
    )
    target = factories.RunTargetFactory.create(run=found, description=description)
    factories.RunSnapshotFactory.create(target=target)
    type(target).objects.filter(pk=target.pk).update(reason=Value(HOSTILE))
    RunEvent.objects.create(run=found, at=clock.now(), state="failed", text="x")
    RunEvent.objects.filter(run=found).update(text=Value(HOSTILE))
    factories.result(found, "before", outcome="failed", stdout=f"one\n{HOSTILE}\n", stderr=HOSTILE)
    return found


def said(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()


def test_a_command_shows_them_written_out(run: Run) -> None:
    text = said("show_run", str(run.pk))

    assert acted_on(text) == set()
    assert f"reason       {WRITTEN}" in text
    assert acted_on(said("list_runs")) == set()


def test_json_has_them_written_out(run: Run) -> None:
    text = said("show_run", str(run.pk), "--json")
    report = json.loads(text)

    assert acted_on(text) == set()
    assert report["reason"] == report["targets"][0]["reason"] == WRITTEN
    assert report["snapshots"][0]["device"] == WRITTEN
    assert report["phases"]["before"]["stdout"] == f"one\n{WRITTEN}\n"
    assert acted_on(json.dumps(report, ensure_ascii=False)) == set()


@pytest.mark.parametrize("path", ["/runs/{}/", "/runs/", "/admin/policies/run/{}/change/"])
def test_a_page_shows_them_written_out(run: Run, client: Client, path: str) -> None:
    client.force_login(User.objects.create_superuser("boss", password="x"))

    page = client.get(path.format(run.pk)).content.decode()

    assert acted_on(page) == set()
    assert r"\x1b]0;owned\x07" in page


def test_what_the_script_wrote_is_kept_as_it_wrote_it(run: Run) -> None:
    assert outputs.texts(run.phases.all())[run.phases.get().pk, "stdout"] == f"one\n{HOSTILE}\n"


def test_a_sentence_is_harmless_from_its_beginning() -> None:
    assert str(BackupError(f"AWS says {HOSTILE}")) == f"AWS says {WRITTEN}"
    assert str(InputError("two\nlines")) == r"two\x0alines"


@pytest.mark.parametrize("text", ["a\x00b", "a\udcffb"])
def test_no_byte_keeps_a_run_from_ending(run: Run, text: str) -> None:
    runs.record(run, f"AWS says {text}")
    Run.objects.filter(pk=run.pk).update(reason=text)
    run.refresh_from_db()

    assert run.reason in {r"a\x00b", r"a\xffb"}
    assert RunEvent.objects.latest("pk").text == f"AWS says {run.reason}"


def test_every_command_of_the_product_prints_harmless_text_only() -> None:
    ours = {
        name: app for name, app in get_commands().items() if app in {"policies", "scripts_admin"}
    }
    others = {
        name
        for name, app in ours.items()
        if not isinstance(load_command_class(app, name), output.Command)
    }

    assert len(ours) > 15
    assert others == set()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_whatever_a_command_writes_is_harmless(stream: str) -> None:
    class Talking(output.Command):
        def handle(self, **_: object) -> None:
            getattr(self, stream).write(f"said {HOSTILE}")

    out = io.StringIO()
    call_command(Talking(), **{stream: out})

    assert out.getvalue() == f"said {WRITTEN}\n"


def test_a_terminal_without_the_letters_gets_them_written_out() -> None:
    class Talking(output.Command):
        def handle(self, **_: object) -> None:
            self.stdout.write("Zürich … 東京")

    out = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    call_command(Talking(), stdout=out)
    out.seek(0)

    assert out.read() == "Zürich \\u2026 \\u6771\\u4eac\n"


NOT_TEXT = b"caf\xe9".decode(errors="surrogateescape")


@pytest.mark.parametrize(
    "arguments",
    [
        ("show_run", NOT_TEXT),
        ("show_policy", f"alice/{NOT_TEXT}"),
        ("list_runs", "--policy", NOT_TEXT),
        ("run_policy", f"{NOT_TEXT}/x"),
        ("test_alarm", NOT_TEXT),
        ("test_account", f"alice/{NOT_TEXT}"),
        ("cancel_run", NOT_TEXT),
    ],
)
def test_an_argument_that_is_no_text_is_refused_with_a_sentence(
    db: None, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(CommandError, match=r"^The argument \S*caf\\xe9\S* is not UTF-8 text: "):
        call_command(*arguments)


def test_a_file_may_have_any_name(db: None, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.yaml"
    with open(path, "w") as file:  # noqa: PTH123 - its name is no text
        file.write("users: [{name: carol}]\n")

    assert "user carol: created" in said("apply", os.fsdecode(path))

    with pytest.raises(CommandError, match="cannot be read"):
        call_command("apply", os.fsdecode(path) + "x")


def test_a_complaint_about_an_argument_quotes_it_harmlessly(db: None) -> None:
    with pytest.raises(CommandError, match=r"unrecognized arguments: \\x1b\[2J\\u202e$"):
        call_command("show_run", "x", "\x1b[2J\u202e")


def test_a_real_terminal_gets_no_traceback(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "manage.py", "show_run", b"\xff\x1b[31m"],
        cwd=ROOT,
        env=os.environ | {"N2W_HOME": str(tmp_path), "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )

    assert found.returncode == 1
    assert found.stderr.decode() == (
        "CommandError: The argument \\xff\\x1b[31m is not UTF-8 text: write it again, in UTF-8.\n"
    )
