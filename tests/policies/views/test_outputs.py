"""What scripts printed, as pages show it: to whom, as text only, from any byte or line, and found again."""

from unittest.mock import Mock

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from n2wbackup.lib import clock, home
from policies.domain.runs import printed
from policies.domain.runs.sequence import State
from policies.models import Run
from policies.selectors import outputs
from policies.services.window import entering
from policies.services.window import outputs as kept
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.guard.capture import Capture
from scripts_admin.guard.journal import Attempt
from scripts_admin.guard.spool import Record
from scripts_admin.guard.tail import Tail
from tests import factories
from tests.policies.views import page

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

SVG = '"><svg onload=alert(1)>'
SECRET = b"wJalrXUtnFEMI-K7MDENG"
QUERIES = 7  # session, person, what is shared, run, result, pieces, banner


@pytest.fixture
def run() -> Run:
    policy = factories.PolicyFactory.create(owner=factories.alice(), name="nightly")
    now = clock.now()
    return factories.RunFactory.create(policy=policy, state=State.SUCCEEDED, ended_at=now)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few lines be several pieces."""
    monkeypatch.setattr(printed.pieces, "__defaults__", (7,))


def address(run: Run, phase: str = "before", attempt: int = 1, stream: str = "stdout") -> str:
    return f"/runs/{run.pk}/output/{phase}/{attempt}/{stream}"


def seen(run: Run, query: str = "", **names: object) -> page.Page:
    client = page.client_of(factories.alice())
    return page.read(client, address(run, **names) + query)  # type: ignore[arg-type]


def numbers(shown: page.Page) -> list[int]:
    found = [attrs.get("id") or "" for tag, attrs in shown.tags if tag == "div"]
    return [int(each[1:]) for each in found if each.startswith("L")]


def test_the_page_has_the_last_lines_each_with_its_number(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "LINES", 1000)
    factories.result(run, "before", stdout="".join(f"line {n}\n" for n in range(1, 1503)))

    shown = seen(run)

    assert numbers(shown) == list(range(503, 1503))
    assert "line 1502" in shown.text
    assert "Lines before 503 are not shown" in shown.text
    assert numbers(seen(run, "?line=1")) == list(range(1, 1001))
    assert numbers(seen(run, "?line=700")) == list(range(700, 1503))
    assert "no such line" in seen(run, "?line=1503").text


def test_the_whole_is_a_text_to_keep_and_never_a_page(run: Run) -> None:
    said = f"one\n{SVG}\n\N{LATIN SMALL LETTER E WITH ACUTE}\n"
    factories.result(run, "before", stdout=said)
    client = page.client_of(factories.alice())

    answer = client.get(address(run) + "?from=0")

    assert answer.content == said.encode()
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Disposition"].startswith("attachment; filename=")
    for start in range(len(said.encode()) + 2):
        part = client.get(f"{address(run)}?from={start}").content
        assert part == said.encode()[start:]


@pytest.mark.parametrize("odd", ["-1", "x", "1e3", "9" * 40, ""])
def test_an_odd_number_asks_for_the_page(run: Run, odd: str) -> None:
    factories.result(run, "before", stdout="hello\n")

    assert "hello" in seen(run, f"?from={odd}&line={odd}").text


def test_what_is_printed_is_text_and_never_markup(run: Run) -> None:
    said = f"{SVG}\n\x1b[31m{SVG}\x1b[0m\n"
    factories.result(run, "before", stdout=said, stderr=said, script=SVG)
    Run.objects.update(policy_name=SVG)

    for shown in (seen(run), seen(run, stream="stderr"), seen(run, f"?q={SVG}")):
        assert "svg" not in [tag for tag, attrs in shown.tags if "onload" in attrs]
        assert not [name for _, attrs in shown.tags for name in attrs if name.startswith("on")]
        assert not [name for _, attrs in shown.tags for name in attrs if name == "style"]
        assert SVG in shown.text


def test_colours_are_classes(run: Run) -> None:
    factories.result(run, "before", stdout="\x1b[31mred\n still\x1b[0m\n")

    spans = [attrs for tag, attrs in seen(run).tags if tag == "span"]

    assert spans.count({"class": "ansi-red"}) == 2


def test_a_word_is_found_in_all_lines_in_capitals_or_not(run: Run) -> None:
    said = "".join(f"line {n}\n" for n in range(1, 1400)) + "the \x1b[31mER\x1b[0mror\n"
    factories.result(run, "before", stdout="Error 1\n" + said)

    shown = seen(run, "?q=error")

    assert "2 lines with “error”" in shown.text
    assert f"{address(run)}?line=1#L1" in shown.links
    assert f"{address(run)}?line=1401#L1401" in shown.links
    assert "No line has “nothing”" in seen(run, "?q=nothing").text
    assert f"{outputs.HITS} or more lines" in seen(run, "?q=line").text


def test_a_stranger_finds_nothing_and_neither_does_anybody_what_is_not_there(run: Run) -> None:
    factories.result(run, "before", stdout="hello\n")
    stranger = page.client_of(factories.charlie())
    for query in ("", "?from=0", "?q=hello", "?line=1"):
        assert stranger.get(address(run) + query).status_code == 404
    owner = page.client_of(factories.alice())
    assert owner.get(address(run, attempt=2)).status_code == 404
    assert owner.get(address(run, "after")).status_code == 404
    assert owner.get(address(run, "during")).status_code == 404
    assert owner.get(address(run, stream="stdin")).status_code == 404
    assert owner.get(address(run, "..%2f..", stream="stdout")).status_code == 404


def test_every_attempt_has_its_own(run: Run) -> None:
    for attempt in (1, 2):
        factories.result(run, "after", attempt=attempt, stdout=f"try {attempt}\n")

    assert "try 2" in seen(run, phase="after", attempt=2).text
    assert "try 2" not in seen(run, phase="after").text


def test_a_secret_at_the_border_of_a_piece_does_not_show(run: Run) -> None:
    for before in range(30):
        capture = Capture((SECRET,))
        capture.feed(b"x" * before + SECRET[:5])
        capture.feed(SECRET[5:] + b"\n")
        factories.result(run, "after", attempt=before + 1, stdout=capture.text())

        shown = seen(run, phase="after", attempt=before + 1)

        assert "x" * before + "[masked]" in shown.text
        assert "wJal" not in shown.text


def test_complete_is_followed_while_it_runs(run: Run, settings: Settings) -> None:
    Run.objects.update(
        state=State.COMPLETING, ended_at=None, complete_started_at=clock.now(), server=home.server_id()
    )  # fmt: skip
    folder = home.runtime() / str(run.pk)
    folder.mkdir(mode=0o700)
    file = Tail(folder, Phase.COMPLETE, "stdout")
    file.write(b"one\ntw")
    client = page.client_of(factories.alice())
    first = page.read(client, address(run, "complete"))

    assert "one" in first.text
    assert "tw" not in first.text.split()
    asked = first.polled
    assert asked == [f"{address(run, 'complete')}?from=4"]

    of_run = reverse("run", args=[run.pk])
    assert "<pre>one\n</pre>" in client.get(of_run).text
    part = client.get(of_run, headers={"HX-Request": "true"}).text
    assert "complete runs. What it has printed so far" in part

    file.write(b"o\n")
    part = client.get(asked[0], headers={"HX-Request": "true"}).content.decode()
    assert 'id="L2"' in part
    assert "<html" not in part
    assert f"{address(run, 'complete')}?from=8" in part
    assert client.get(asked[0]).content == b"two\n"

    factories.result(run, "complete", stdout="one\ntwo\nthree\n", ended_at=clock.now())
    Run.objects.update(state=State.SUCCEEDED, ended_at=clock.now())
    end = client.get(f"{address(run, 'complete')}?from=8", headers={"HX-Request": "true"})
    assert "three" in end.content.decode()
    assert "hx-get" not in end.content.decode()


def test_while_it_may_be_frozen_the_page_says_when_there_is_something_to_see(run: Run) -> None:
    Run.objects.update(state=State.FROZEN, ended_at=None)

    assert "shown once it is thawed" in seen(run).text


def test_a_page_costs_the_same_however_much_was_printed(
    run: Run, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = page.client_of(factories.alice())
    client.get("/")
    factories.result(run, "before", stdout="x\n" * 5000)
    factories.result(run, "after", stdout="x\n")

    for phase in ("before", "after"):
        with django_assert_num_queries(QUERIES):
            client.get(address(run, phase))


def test_the_page_can_be_read_by_a_machine_that_reads_aloud(run: Run) -> None:
    factories.result(run, "before", stdout="x\n")
    shown = seen(run)

    identifiers = [attrs["id"] for _, attrs in shown.tags if "id" in attrs]
    assert len(identifiers) == len(set(identifiers))
    assert [tag for tag, _ in shown.tags].count("h1") == 1


def test_a_result_is_never_there_without_what_was_printed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(kept, "keep", fail)
    record = Mock(spec=Record, command=Mock(return_value=None))
    attempt = Attempt("complete", 1, stdout="printed")
    with pytest.raises(InterruptedError):
        entering.complete_results([entering.Completed(run, record, attempt, Outcome.SUCCEEDED)])

    assert not run.phases.exists()
