"""The parts that all pages are made of, as template tags: `{% load components %}`.

Each has its HTML in templates/components/. Whatever is handed in is escaped. None is shown as a dash. Nothing here
needs JavaScript, and nothing writes a style or a script into the page.
"""

import math
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django import template
from django.template import Context
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from django.utils.timesince import timesince

from n2wbackup.lib import clock, terminal, themes

register = template.Library()

NOTHING = "\N{EN DASH}"
DATE = "%Y-%m-%d"
SECOND = "%H:%M:%S"
MINUTE = "%H:%M"
_PICTURES = {
    "success": "circle-check",
    "warning": "alert-triangle",
    "danger": "circle-x",
    "error": "circle-x",
}
_MINUTE_SECONDS = 60
_HOUR_SECONDS = 3_600


@register.filter
def harmless(text: str) -> str:
    """Write out what a browser would act on instead of showing it (changes of direction, invisible characters)."""
    return terminal.block(text)


def _component(file: str, **context: object) -> SafeString:
    # Without the file's last newline, a component can stand right before a full stop.
    return mark_safe(render_to_string(f"components/{file}.html", context).strip())  # noqa: S308 - a template escaped it


@register.simple_tag
def icon(name: str) -> SafeString:
    """Show one of the icons that tools/vendor.py lists. It decorates: the words beside it say the same."""
    return _component("icon", name=name)


@register.filter
def picture(level: str) -> str:
    """Return the icon for a message of Django's levels."""
    return _PICTURES.get(level, "info-circle")


@register.filter
def split(words: str) -> list[str]:
    return words.split()


@register.simple_tag(takes_context=True)
def theme(context: Context) -> str:
    """Return the colours that the person chose: "auto", "light" or "dark"."""
    request = context.get("request")
    return themes.chosen(request) if request is not None else themes.AUTO


@register.simple_tag(takes_context=True)
def nav_link(context: Context, name: str, label: str, picture: str) -> SafeString:
    """Show a link of the navigation; nothing where this server has no such page."""
    try:
        address = reverse(name)
    except NoReverseMatch:
        return SafeString("")
    here = getattr(context.get("request"), "path", "")
    below = address != "/" and here.startswith(address)
    current = "page" if here == address else "true" if below else ""
    return _component("nav_link", address=address, label=label, picture=picture, current=current)


@register.simple_block_tag
def page_head(content: str, title: str, above: str = "", above_label: str = "") -> SafeString:
    """Show the heading of a page; the block has its actions, `above` is the address of the list it belongs to."""
    return _component(
        "page_head", content=content, title=title, above=above, above_label=above_label
    )


@register.simple_tag
def badge(word: str | None, shown: str = "") -> SafeString:
    """Show a state, an outcome or a consistency in its colour; `shown` stands for another text than the word itself."""
    if not word:
        return SafeString(NOTHING)
    return _component("badge", kind=slugify(word), shown=shown or word.replace("_", " "))


@register.simple_tag
def moment(at: datetime | None, form: str = "second", zone: str = "") -> SafeString:
    """Show a moment in UTC, and in the zone as well where one is named and known; the age is shown on hover.

    Forms: "second", the usual one; "minute", with the day of the week, for due times; "precise", with
    milliseconds, for timelines; "age", how long ago it was, with the moment on hover.
    """
    if at is None:
        return SafeString(NOTHING)
    utc = at.astimezone(UTC)
    return _component(
        "moment",
        iso=utc.isoformat(),
        shown=age(utc) if form == "age" else _by(utc, UTC, form),
        local="" if form == "age" else _beside(utc, form, zone),
        hover=f"{utc:{DATE} {SECOND}} UTC, {age(utc)}",
    )


@register.simple_tag
def by_clock(at: datetime, zone: str, form: str = "minute") -> str:
    """Return what the clock of the zone shows at that moment, and nothing where the zone is not known here."""
    known = _known(zone)
    return _by(at, known, form) if known else ""


@register.simple_tag
def span(seconds: float | None) -> str:
    """Return a span as people say it: "123 ms", "1.2 s", "3 min 5 s" or "2 h 10 min"; negative if a clock went back."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if round(seconds * 1000) < 0:
        return f"-{span(-seconds)}"
    if round(seconds * 1000) < 1000:  # noqa: PLR2004 - milliseconds in a second
        return f"{round(seconds * 1000)} ms"
    if round(seconds, 1) < _MINUTE_SECONDS:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR_SECONDS:
        return _two(whole, _MINUTE_SECONDS, "min", "s")
    return _two(round(whole / _MINUTE_SECONDS), _MINUTE_SECONDS, "h", "min")


@register.simple_block_tag
def facts(content: str) -> SafeString:
    """Show a list of facts: `{% fact "Label" %}…{% endfact %}` for each."""
    return _component("facts", content=content)


@register.simple_block_tag
def fact(content: str, label: str) -> SafeString:
    """Show one fact of a list."""
    return _component("fact", content=content.strip() and content, label=label, nothing=NOTHING)


@register.simple_block_tag
def table(
    content: str, caption: str, *columns: str, more: tuple[str, ...] = (), numbers: str = ""
) -> SafeString:
    """Show a table that scrolls by itself. The block has its rows; `numbers` names the column of numbers."""
    return _component(
        "table", content=content, caption=caption, columns=[*columns, *more], numbers=numbers
    )


@register.simple_block_tag
def banner(content: str, title: str) -> SafeString:
    """Show an alarm that nobody may miss; machines that read aloud say it first."""
    return _component("banner", content=content, title=title, name=f"banner-{slugify(title)}")


@register.simple_block_tag
def nothing_yet(content: str, sentence: str) -> SafeString:
    """Say that a list is empty; the block says what to do next."""
    return _component("nothing_yet", content=content, sentence=sentence)


def age(at: datetime) -> str:
    """Return how long ago the moment was, or how far ahead it is, in words."""
    now = clock.now()
    seconds = (now - at).total_seconds()
    if abs(seconds) < _MINUTE_SECONDS:
        words = "less than a minute"
    else:
        words = timesince(min(at, now), max(at, now), depth=1).replace("\xa0", " ")
    return f"{words} ago" if seconds >= 0 else f"in {words}"


def _by(at: datetime, zone: tzinfo, form: str) -> str:
    local = at.astimezone(zone)
    if form == "precise":
        return f"{local:{DATE} {SECOND}}.{local.microsecond // 1000:03} {local:%Z}"
    if form == "minute":
        return f"{local:%a {DATE} {MINUTE} %Z}"
    return f"{local:{DATE} {SECOND} %Z}"


def _beside(utc: datetime, form: str, zone: str) -> str:
    known = _known(zone)
    if known is None or zone in clock.UTC_NAMES:
        return ""
    local = utc.astimezone(known)
    if local.date() != utc.date():
        return _by(utc, known, form)
    if form == "precise":
        return _by(utc, known, form).partition(" ")[2]
    return f"{local:{MINUTE if form == 'minute' else SECOND} %Z}"


def _known(zone: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(zone) if zone else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _two(count: int, size: int, large: str, small: str) -> str:
    whole, rest = divmod(count, size)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"
