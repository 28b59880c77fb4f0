"""The small forms of what can be done with a policy: pause, test, delete."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from policies.domain.retention.points import Fate
from policies.domain.schedules import schedule
from policies.services.entry import pausing
from scripts_admin.domain.phases import Phase
from scripts_admin.forms import looks


class PauseForm(forms.Form):
    """The end is in UTC, as everything that has no zone of its own."""

    until = forms.CharField(
        label="Until (UTC)",
        widget=forms.TextInput(attrs={"type": "datetime-local"}),
        help_text="The policy resumes by itself at this time. A pause of more than a year is not possible.",
    )
    reason = forms.CharField(
        label="Reason",
        max_length=pausing.MAX_REASON,
        help_text="Shown to everyone who sees the policy, such as: the database moves to another host.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        super().__init__(*args, **kwargs)
        looks.dress(self)

    def clean_until(self) -> datetime:
        try:
            return schedule.parse_wall(self.cleaned_data["until"]).replace(tzinfo=UTC)
        except ValueError:
            message = "Write a date and a time in UTC, such as 2026-12-01T18:00."
            raise ValidationError(message) from None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        try:
            pausing.check(cleaned.get("until"), cleaned.get("reason", ""))
        except ValidationError as error:
            for name, sentences in error.message_dict.items():
                if name not in self.errors:
                    self.add_error(name, ValidationError(sentences))
        return cleaned


class TestForm(forms.Form):
    """What a test run does; before alone is always followed by after."""

    __test__ = False  # pytest takes the name for a test
    phase = forms.ChoiceField(
        label="Phase",
        required=False,
        choices=[("", "all: before, after and complete"), *((p.value, p.value) for p in Phase)],
        help_text="before alone is always followed by after.",
    )
    argument = forms.ChoiceField(
        label="Argument of after or complete",
        required=False,
        choices=[
            ("", "as in a backup"),
            ("1", "1: everything before it succeeded"),
            ("0", "0: something failed"),
        ],
        help_text="Only for after or complete alone: before gets no argument.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        super().__init__(*args, **kwargs)
        looks.dress(self)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        alone = cleaned.get("phase") in {Phase.AFTER, Phase.COMPLETE}
        if cleaned.get("argument") and not alone:
            self.add_error(
                "argument", "An argument needs the phase after or complete: choose one of them."
            )
        return cleaned


class NameForm(forms.Form):
    """The name, typed to confirm that something is deleted."""

    name = forms.CharField(label="Name", widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def __init__(self, wanted: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        super().__init__(*args, **kwargs)
        self._wanted = wanted
        self.fields["name"].help_text = f"Type {wanted} to confirm."
        looks.dress(self)

    def clean_name(self) -> str:
        typed: str = self.cleaned_data["name"]
        if typed != self._wanted:
            message = (
                f"{typed!r} is not the name. Nothing was deleted: type {self._wanted}, or go back."
            )
            raise ValidationError(message)
        return typed


class PolicyDeletion(NameForm):
    """The name, and what becomes of the restore points. To delete them, more has to be typed than the name."""

    fate = forms.ChoiceField(
        label="Its restore points",
        choices=[
            (Fate.KEEP.value, "stay until somebody deletes their snapshots in AWS"),
            (Fate.RULES.value, "go when the rules would have let them go; the last ones stay"),
            (Fate.NOW.value, "are deleted now, also the last ones; only what is held stays"),
        ],
        initial=Fate.KEEP.value,
        required=False,
        widget=forms.RadioSelect,
    )

    def __init__(self, wanted: str, points: int, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(wanted, *args, **kwargs)
        self.order_fields(["fate", "name"])
        self._all = f"{wanted} and {points} restore points"
        self.fields[
            "name"
        ].help_text = (
            f"Type {wanted} to confirm; to delete its restore points now, type {self._all}."
        )

    def clean_name(self) -> str:
        if self.cleaned_data.get("fate") == Fate.NOW:
            self._wanted = self._all
        return super().clean_name()

    def clean_fate(self) -> Fate:
        return Fate(self.cleaned_data["fate"] or Fate.KEEP)
