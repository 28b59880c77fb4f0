"""The form with which a person holds a restore point."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from policies.domain.schedules import schedule
from policies.services.retention import holds
from scripts_admin.forms import looks


class HoldForm(forms.Form):
    """The end is in UTC, as everything that has no zone of its own."""

    reason = forms.CharField(
        label="Reason",
        max_length=holds.MAX_REASON,
        help_text="Shown to everyone who sees the run, such as: the books of 2026 are audited.",
    )
    until = forms.CharField(
        label="Until (UTC)",
        required=False,
        widget=forms.TextInput(attrs={"type": "datetime-local"}),
        help_text="Leave empty to hold it until somebody releases it.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        super().__init__(*args, **kwargs)
        until = self.initial.get("until")
        if isinstance(until, datetime):
            self.initial["until"] = f"{until.astimezone(UTC):%Y-%m-%dT%H:%M}"
        looks.dress(self)

    def clean_until(self) -> datetime | None:
        if not self.cleaned_data["until"]:
            return None
        try:
            return schedule.parse_wall(self.cleaned_data["until"]).replace(tzinfo=UTC)
        except ValueError:
            message = "Write a date and a time in UTC, such as 2027-12-31T18:00, or leave it empty."
            raise ValidationError(message) from None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        try:
            holds.check(cleaned.get("until"), cleaned.get("reason", ""))
        except ValidationError as error:
            for name, sentences in error.message_dict.items():
                if name not in self.errors:
                    self.add_error(name, ValidationError(sentences))
        return cleaned
