"""What all pages are made of: how it looks, that it escapes everything, and what None becomes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

import pytest
import time_machine
from django.core.paginator import Paginator
from django.template import Context, RequestContext, Template
from django.test import RequestFactory

from n2wbackup.lib import components
from scripts_admin.domain.phases import Outcome
from tests.policies.views.page import Page

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
ICON = [
    ("svg", {"class": "icon", "aria-hidden": "true", "focusable": "false"}),
    ("use", {"href": "/static/vendor/tabler-icons/icons.svg#alert-triangle"}),
]
EVIL = '"><svg onload=alert(1)>'
AT = datetime(2026, 11, 26, 9, 30, 15, 123999, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def html(source: str, **context: object) -> str:
    return Template("{% load components %}" + source).render(Context(context))


def read(source: str, **context: object) -> Page:
    return Page(html(source, **context))


def words(page: Page) -> str:
    return " ".join(page.text.split())


class Call(NamedTuple):
    """A component with something in each of its places."""

    source: str
    shown: int  # how many times the text is read


EVERY = [
    Call("{% badge bad %}", 1),
    Call("{% badge 'failed' bad %}", 1),
    Call("{% facts %}{% fact bad %}{{ bad }}{% endfact %}{% endfacts %}", 2),
    Call("{% table bad bad more=many %}<tr><td>{{ bad }}</td></tr>{% endtable %}", 4),
    Call("{% banner bad %}{{ bad }}{% endbanner %}", 2),
    Call("{% nothing_yet bad %}{{ bad }}{% endnothing_yet %}", 2),
]


@pytest.mark.parametrize("call", EVERY, ids=lambda call: call.source)
def test_whatever_is_handed_in_is_text_and_never_markup(call: Call) -> None:
    seen = read(call.source, bad=EVIL, many=(EVIL,))

    assert seen.text.count(EVIL) == call.shown
    for tag, attrs in seen.tags:
        assert tag not in {"script", "style"}
        assert tag != "svg" or attrs == ICON[0][1]
        assert not [name for name in attrs if name.startswith("on") or name == "style"]


def test_a_zone_and_a_form_that_nobody_knows_are_no_markup_either() -> None:
    shown = html("{% moment at form zone %}|{% by_clock at zone %}", at=AT, form=EVIL, zone=EVIL)

    assert "svg" not in shown
    assert shown.endswith("2026-11-26 09:30:15 UTC</time>|")


@pytest.mark.parametrize(
    ("word", "kind", "shown"),
    [
        ("succeeded", "succeeded", "succeeded"),
        (Outcome.TIMED_OUT, "timed_out", "timed out"),
        ("left_out", "left_out", "left out"),
    ],
)
def test_a_badge_says_the_word_and_has_its_colour(word: str, kind: str, shown: str) -> None:
    assert html("{% badge word %}", word=word) == (
        f'<span class="state state-{kind}">{shown}</span>'
    )


def test_a_badge_can_say_another_word_in_the_colour() -> None:
    assert html("{% badge 'frozen' 'since' %}") == '<span class="state state-frozen">since</span>'


@pytest.mark.parametrize(
    "source",
    [
        *("{% badge none %}", "{% badge '' %}", "{% moment none %}", "{% span none %}"),
        *("{% moment none 'precise' %}", "{% moment none zone='Europe/Berlin' %}"),
    ],
)
def test_what_is_not_there_is_a_dash(source: str) -> None:
    assert html(source, none=None) == components.NOTHING


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("{% moment at %}", "2026-11-26 09:30:15 UTC"),
        ("{% moment at 'minute' %}", "Thu 2026-11-26 09:30 UTC"),
        ("{% moment at 'precise' %}", "2026-11-26 09:30:15.123 UTC"),
        ("{% moment at zone='Europe/Berlin' %}", "2026-11-26 09:30:15 UTC (10:30:15 CET)"),
        (
            "{% moment at zone='Pacific/Kiritimati' %}",
            "2026-11-26 09:30:15 UTC (23:30:15 +14)",
        ),
        (
            "{% moment late zone='Asia/Tokyo' %}",
            "2026-11-26 20:00:00 UTC (2026-11-27 05:00:00 JST)",
        ),
        ("{% moment at 'minute' zone='Europe/Berlin' %}", "Thu 2026-11-26 09:30 UTC (10:30 CET)"),
        (
            "{% moment at 'precise' 'Europe/Berlin' %}",
            "2026-11-26 09:30:15.123 UTC (10:30:15.123 CET)",
        ),
        ("{% moment at zone='UTC' %}", "2026-11-26 09:30:15 UTC"),
        ("{% moment at zone='Europe/Atlantis' %}", "2026-11-26 09:30:15 UTC"),
    ],
)
def test_a_moment_is_shown_with_its_zone(source: str, shown: str) -> None:
    late = datetime(2026, 11, 26, 20, tzinfo=UTC)

    assert words(read(source, at=AT, late=late)) == shown


def test_a_moment_of_another_clock_is_shown_in_utc() -> None:
    at = AT.astimezone(timezone(timedelta(hours=-5)))

    ((tag, attrs),) = read("{% moment at %}", at=at).tags

    assert tag == "time"
    assert attrs == {
        "datetime": "2026-11-26T09:30:15.123999+00:00",
        "title": "2026-11-26 09:30:15 UTC, 2 hours ago",
    }


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(0), "less than a minute ago"),
        (timedelta(seconds=59), "less than a minute ago"),
        (timedelta(seconds=60), "1 minute ago"),
        (timedelta(hours=3, minutes=5), "3 hours ago"),
        (timedelta(days=8), "1 week ago"),
        (timedelta(seconds=-30), "in less than a minute"),
        (timedelta(hours=-5), "in 5 hours"),
    ],
)
def test_the_age_is_told_in_words(ago: timedelta, said: str) -> None:
    assert components.age(NOON - ago) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (0.123, "123 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (1.23, "1.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (180, "3 min"),
        (185.4, "3 min 5 s"),
        (3_599.6, "1 h"),
        (7_800, "2 h 10 min"),
    ],
)
def test_a_span_is_told_as_people_say_it(seconds: float, said: str) -> None:
    assert html("{% span seconds %}", seconds=seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-0.25, "-250 ms"),
        (-100.0, "-1 min 40 s"),
        (-0.0001, "0 ms"),
        (float("nan"), components.NOTHING),
        (float("inf"), components.NOTHING),
        (float("-inf"), components.NOTHING),
    ],
)
def test_a_span_that_no_clock_should_give_breaks_no_page(seconds: float, said: str) -> None:
    assert html("{% span seconds %}", seconds=seconds) == said


def test_facts_are_a_list_of_terms_and_an_empty_one_is_a_dash() -> None:
    seen = read(
        "{% facts %}{% fact 'State' %}{% badge 'failed' %}{% endfact %}"
        "{% fact 'Ended' %}  {% endfact %}{% endfacts %}"
    )

    assert [tag for tag, _ in seen.tags] == [
        *("dl", "div", "dt", "dd", "span", "div", "dt", "dd"),
    ]
    assert dict(seen.tags)["dl"] == {"class": "facts card"}
    assert words(seen) == f"State failed Ended {components.NOTHING}"


def test_a_table_scrolls_by_itself_and_names_itself_and_its_columns() -> None:
    seen = read(
        "{% table 'Runs' 'Made' 'Hold' more=zones numbers='Hold' %}<tr></tr>{% endtable %}",
        zones=("CET",),
    )

    tags = dict(seen.tags)
    assert tags["div"] == {
        "class": "scroll card",
        "role": "region",
        "aria-label": "Runs",
        "tabindex": "0",
    }
    heads = [attrs for tag, attrs in seen.tags if tag == "th"]
    assert heads == [{"scope": "col"}, {"scope": "col", "class": "number"}, {"scope": "col"}]
    assert words(seen) == "Runs Made Hold CET"
    assert [tag for tag, _ in seen.tags if tag in {"caption", "tbody"}] == ["caption", "tbody"]


def test_a_banner_is_an_alert_with_a_name() -> None:
    seen = read("{% banner 'May be frozen' %}<p>Look.</p>{% endbanner %}")

    assert seen.tags == [
        (
            "section",
            {"class": "alarm", "role": "alert", "aria-labelledby": "banner-may-be-frozen"},
        ),
        ("h2", {"id": "banner-may-be-frozen"}),
        *ICON,
        ("p", {}),
    ]
    assert words(seen) == "May be frozen Look."


def test_an_empty_list_says_what_to_do_next() -> None:
    seen = read("{% nothing_yet 'There are no runs yet.' %}<p>Start one.</p>{% endnothing_yet %}")

    assert words(seen) == "There are no runs yet. Start one."


def pager(query: str, number: int, rows: int = 3) -> Page:
    request = RequestFactory().get(f"/runs/{query}")
    page = Paginator(range(rows), 1).get_page(number)
    context = RequestContext(request, {"page": page})
    return Page(Template('{% include "components/pager.html" %}').render(context))


def test_a_pager_keeps_the_filters_of_the_address() -> None:
    seen = pager("?state=failed&page=2&q=%22%3E%3Csvg%20onload%3D1%3E", 2)

    evil = "%22%3E%3Csvg+onload%3D1%3E"
    assert seen.links == [
        f"?state=failed&page=1&q={evil}",
        f"?state=failed&page=3&q={evil}",
    ]
    assert words(seen) == "Previous Page 2 of 3 Next"


def test_a_pager_leads_nowhere_from_the_first_back_or_the_last_on() -> None:
    assert pager("", 1).links == ["?page=2"]
    assert pager("", 3).links == ["?page=2"]
    assert pager("", 1, rows=1).tags == []
