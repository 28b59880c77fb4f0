"""The forms of the alarms' pages: receivers with their quiet hours, a mute, and what the list is narrowed to."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import ProhibitNullCharactersValidator

from policies.domain.alarms.messages import AlarmKind
from policies.forms import asking
from policies.models import AlarmReceivers
from policies.selectors.alarms import Asked
from policies.services.alarms import muting, receivers
from scripts_admin.forms.looks import Dressed

_TEXT = {"class": "form-control", "autocomplete": "off", "spellcheck": "false"}
_HOURS = {1: "1 hour", 4: "4 hours", 12: "12 hours", 24: "1 day", 72: "3 days", 168: "7 days"}


class ReceiversPageForm(Dressed, forms.Form):
    """Whom to tell, and when not. Stored URLs are never shown; an empty field keeps them."""

    new_urls = forms.CharField(
        label="Alarm URLs",
        required=False,
        widget=forms.Textarea(attrs={**_TEXT, "rows": 4}),
        help_text=(
            "One URL per line, such as mailtos://user:password@mail.example.org?to=ops@example.org. They replace the "
            "stored ones and are never shown again. Leave empty to keep the stored ones; enter none to remove them."
        ),
    )
    new_ping_url = forms.CharField(
        label="Ping URL",
        required=False,
        widget=forms.TextInput(attrs=_TEXT),
        help_text=(
            "An https:// URL that a monitoring service watches. The server appends /start and /fail. Leave empty to "
            "keep the stored one; enter none to remove it."
        ),
    )
    quiet_times = forms.CharField(
        label="Quiet hours",
        required=False,
        widget=forms.Textarea(attrs={**_TEXT, "rows": 3}),
        help_text=(
            "One span per line, such as mon tue wed thu fri 22:00-06:00 or sat sun 00:00-24:00; without days, each "
            "day. Messages wait until then and come as one. “May be frozen” never waits."
        ),
    )
    quiet_timezone = forms.CharField(
        label="Time zone",
        max_length=64,
        initial="UTC",
        widget=forms.TextInput(attrs=_TEXT),
        help_text="The time zone of the quiet hours, such as Europe/Berlin.",
    )

    def __init__(self, found: AlarmReceivers, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        """Only a policy has a ping URL."""
        kwargs["initial"] = {
            "quiet_times": "\n".join(found.quiet_times),
            "quiet_timezone": found.quiet_timezone,
        }
        super().__init__(*args, **kwargs)
        self._found = found
        if found.policy_id is None:
            del self.fields["new_ping_url"]

    @property
    def entered(self) -> dict[str, str]:
        """Return the entered URLs by column."""
        said = self.cleaned_data
        return receivers.entered(
            urls=said.get("new_urls", ""), ping_url=said.get("new_ping_url", "")
        )

    @property
    def quiet(self) -> list[str]:
        """Return the lines with quiet hours."""
        lines = str(self.cleaned_data.get("quiet_times", "")).splitlines()
        return [line.strip() for line in lines if line.strip()]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        entered = self.entered
        if not self._found.pk and not any(entered.values()):
            self.add_error("new_urls", "Enter at least one URL.")
        columns = {"new_urls": "urls", "new_ping_url": "ping_url"}
        asking.ask(self, lambda: receivers.check(entered), columns)
        zone = str(cleaned.get("quiet_timezone", ""))
        if zone:
            asking.ask(self, lambda: _check_quiet(self.quiet, zone), {})
        return cleaned


def _check_quiet(lines: list[str], zone: str) -> None:
    receivers.check_quiet(lines, zone)


class MuteForm(Dressed, forms.Form):
    """For how long a policy's alarms wait, and why."""

    hours = forms.TypedChoiceField(
        label="For",
        choices=[(str(hours), words) for hours, words in _HOURS.items()],
        coerce=int,
        initial="4",
        widget=forms.Select(attrs={"class": "form-select"}),
        help_text="The mute ends by itself. What was held back then comes as one message.",
    )
    reason = forms.CharField(
        max_length=muting.MAX_REASON,
        widget=forms.TextInput(attrs=_TEXT),
        help_text="Shown on the policy's page, for the colleague who wonders about the silence.",
        validators=[ProhibitNullCharactersValidator()],
    )

    @property
    def span(self) -> timedelta:
        return timedelta(hours=self.cleaned_data["hours"])

    def tell(self, error: ValidationError) -> None:
        """Show what the service refused."""
        self.add_error(None, " ".join(error.messages))


class AlarmsForm(forms.Form):
    """The filter above the list."""

    kind = forms.ChoiceField(
        required=False,
        choices=[("", "any"), *((kind.value, kind.value.replace("_", " ")) for kind in AlarmKind)],
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    policy = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={**_TEXT, "placeholder": "OWNER/NAME"}),
        validators=[ProhibitNullCharactersValidator()],
    )
    pings = forms.BooleanField(
        required=False,
        label="With pings",
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
    )


class AlarmsFilter:
    """The form with what the address says."""

    def __init__(self, said: Mapping[str, str]) -> None:
        """Take the parameters of the address."""
        self.form = AlarmsForm(said)
        self._said = said

    @property
    def is_narrowed(self) -> bool:
        """Tell whether anything is asked for."""
        return any(self._said.get(name) for name in self.form.fields)

    @property
    def asked(self) -> Asked | None:
        """Return what is asked for; None if a field has a mistake."""
        return Asked(**self.form.cleaned_data) if self.form.is_valid() else None
