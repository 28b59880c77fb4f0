"""The admin form of schedules."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django import forms
from django.forms.renderers import BaseRenderer
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from policies.forms import asking
from policies.forms.lines import Lines
from policies.models import Schedule
from policies.services.due import rules
from policies.services.entry import schedules

if TYPE_CHECKING:
    _ScheduleForm = forms.ModelForm[Schedule]
    _ScheduleChoices = forms.ModelMultipleChoiceField[Schedule]
else:  # they take no types at run time
    _ScheduleForm = forms.ModelForm
    _ScheduleChoices = forms.ModelMultipleChoiceField


class WallClock(forms.CharField):
    """A local time as text ("2026-12-01T00:00"), without time zone; the browser offers a calendar."""

    widget = forms.TextInput(attrs={"type": "datetime-local"})


class Zones(forms.Select):
    """Six hundred options, written at once: a template for each of them takes most of the time of a page."""

    def render(
        self,
        name: str,
        value: Any,  # noqa: ANN401 - as Django's
        attrs: dict[str, Any] | None = None,
        renderer: BaseRenderer | None = None,  # noqa: ARG002 - as Django's
    ) -> SafeString:
        own = self.build_attrs(self.attrs, {**(attrs or {}), "name": name})
        chosen = "" if value is None else str(value)
        groups = format_html_join(
            "",
            '<optgroup label="{}">{}</optgroup>',
            ((area, _options(names, chosen)) for area, names in self.choices),
        )
        return format_html("<select{}>{}</select>", flatatt(own), groups)


def _options(names: Iterable[Any], chosen: str) -> SafeString:
    marked = ((key, " selected" if key == chosen else "", label) for key, label in names)
    return format_html_join("", '<option value="{}"{}>{}</option>', marked)


class ScheduleForm(_ScheduleForm):
    starting = WallClock(
        required=False,
        help_text="The first time, in the time zone below. Only for every, which counts from it.",
    )
    ending = WallClock(
        required=False, help_text="Nothing is due after this time. Leave empty for no end."
    )
    timezone = forms.CharField(
        label="Time zone",
        widget=Zones,
        help_text="The time zone of cron, starting, ending and the disabled times.",
    )
    disabled = Lines(
        label="Disabled times",
        required=False,
        help_text=(
            "One per line: days and a time span, such as sat sun 08:00-18:00; without days it applies every day. "
            "22:00-06:00 continues past midnight. Due times inside the span are skipped."
        ),
    )

    class Meta:
        model = Schedule
        fields: tuple[str, ...] = schedules.COLUMNS
        help_texts = {
            "cron": (
                "Five fields: minute, hour, day of the month, month, day of the week. 0 2 * * * is every night at "
                "two. Leave empty to use every."
            ),
            "every_number": "Instead of cron: run every so many units, counted from starting.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        super().__init__(*args, **kwargs)
        if "timezone" in self.fields:  # it is missing for people who may only view
            self.fields["timezone"].widget.choices = zone_choices(self.instance.timezone)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        asking.fill(self.instance, cleaned)
        unread = set(self.errors)
        asking.ask(self, lambda: schedules.check(self.instance, unread=unread), {})
        return cleaned


def zone_choices(kept: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the zones by their part of the world; `kept` too, even if this machine no longer knows it."""
    groups: dict[str, list[tuple[str, str]]] = {"": [("UTC", "UTC")]}
    for name in sorted({*rules.zone_names(), kept} - {"UTC"}):
        area, slash, _ = name.partition("/")
        groups.setdefault(area if slash else "Others", []).append((name, name))
    return [(area or "UTC", names) for area, names in groups.items()]


class ScheduleChoices(_ScheduleChoices):
    """Schedules, labelled with their owner."""

    def label_from_instance(self, obj: Schedule) -> str:
        return f"{obj.owner.username}/{obj.name}"
