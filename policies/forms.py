"""Forms of accounts, alarms, schedules, policies and targets. The rules are the services'; here they are told."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.models import BaseInlineFormSet

from policies.models import Account, AlarmReceivers, Policy, PolicyTarget, Schedule
from policies.services import enrolling, policies, receiving, schedules, timetables

if TYPE_CHECKING:
    _AccountForm = forms.ModelForm[Account]
    _ReceiversForm = forms.ModelForm[AlarmReceivers]
    _ScheduleForm = forms.ModelForm[Schedule]
    _PolicyForm = forms.ModelForm[Policy]
    _TargetForm = forms.ModelForm[PolicyTarget]
    _TargetSet = BaseInlineFormSet[Any, Any, Any]
    _ScheduleChoices = forms.ModelMultipleChoiceField[Schedule]
else:  # they take no types at run time
    _AccountForm = _ReceiversForm = _ScheduleForm = _PolicyForm = _TargetForm = forms.ModelForm
    _TargetSet = BaseInlineFormSet
    _ScheduleChoices = forms.ModelMultipleChoiceField


class AccountForm(_AccountForm):
    """An account. The stored secret is never shown; an empty field keeps it."""

    new_secret = forms.CharField(
        label="Secret access key",
        required=False,
        strip=True,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Kept encrypted and never shown again. Leave it empty to keep the stored one.",
    )

    class Meta:
        model = Account
        fields = ("owner", "name", "auth", "access_key_id", "role_arn", "region")

    def clean(self) -> dict[str, Any]:
        """Ask the saving rules."""
        cleaned = super().clean() or self.cleaned_data
        _fill(self.instance, cleaned)
        if cleaned.get("new_secret"):
            self.instance.secret_access_key = cleaned["new_secret"]
        columns = {"new_secret": "secret_access_key"}
        unread = {columns.get(name, name) for name in self.errors}
        _ask(self, lambda: enrolling.check(self.instance, unread=unread), columns)
        return cleaned


class ReceiversForm(_ReceiversForm):
    """Where alarms of a user or a policy go. What is stored is never shown; an empty field keeps it."""

    new_urls = forms.CharField(
        label="Alarm URLs",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "cols": 60, "autocomplete": "off"}),
        help_text=(
            "One a line, such as mailtos://user:password@mail.example.org?to=ops@example.org. They take the place "
            "of those that are stored, are kept encrypted and never shown again. Empty: as they are; none: take "
            "all away."
        ),
    )
    new_ping_url = forms.CharField(
        label="Ping URL",
        required=False,
        widget=forms.TextInput(attrs={"size": 60, "autocomplete": "off"}),
        help_text="Of policies: https://…; /start and /fail are put behind it. Empty: as it is; none: take it away.",
    )

    class Meta:
        model = AlarmReceivers
        fields = ("user", "policy")

    def entered(self) -> dict[str, str]:
        """Return what was entered, by column."""
        urls, ping = self.cleaned_data.get("new_urls"), self.cleaned_data.get("new_ping_url")
        return receiving.entered(urls=urls or "", ping_url=ping or "")

    def clean(self) -> dict[str, Any]:
        """Ask the saving rules."""
        cleaned = super().clean() or self.cleaned_data
        found, entered = self.instance, self.entered()
        user, policy = (cleaned.get(name, getattr(found, name)) for name in ("user", "policy"))
        if (user is None) == (policy is None):
            raise ValidationError(
                "These are a user's or a policy's receivers: choose one of the two."
            )
        if not found.pk and not any(entered.values()):
            self.add_error("new_urls", "Enter at least one URL.")
        if user is not None and entered.get("ping_url"):
            self.add_error("new_ping_url", "Only a policy has a ping URL: choose the policy.")
        columns = {"new_urls": "urls", "new_ping_url": "ping_url"}
        _ask(self, lambda: receiving.check(entered), columns)
        return cleaned

    def validate_constraints(self) -> None:
        """Leave it to the rules above, whose sentences say more."""


class Lines(forms.CharField):
    """Entries, one a line; as a list."""

    widget = forms.Textarea(attrs={"rows": 4, "cols": 40})

    def prepare_value(self, value: Any) -> Any:  # noqa: ANN401 - a list, or what was typed
        """Return what the field shows."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:  # noqa: ANN401 - Django says text; this field is a list
        """Return the entries."""
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:  # noqa: ANN401 - as Django declares it
        """Tell whether the entries are others than before."""
        return bool(list(initial or []) != self.to_python(data))


class VolumeIds(Lines):
    """Volume ids, separated by blanks, commas or line ends; as a list."""

    widget = forms.Textarea(attrs={"rows": 2, "cols": 24})

    def to_python(self, value: Any) -> Any:  # noqa: ANN401 - see Lines
        """Return the ids."""
        return (value or "").replace(",", " ").split()


class WallClock(forms.CharField):
    """What a clock shows, as text ("2026-12-01T00:00"); the browser offers a calendar."""

    widget = forms.TextInput(attrs={"type": "datetime-local"})


class ScheduleForm(_ScheduleForm):
    """A schedule, by the saving rules."""

    starting = WallClock(
        required=False,
        help_text="The first time; by the clock of the time zone below. Only with every, which counts from it.",
    )
    ending = WallClock(
        required=False, help_text="Nothing is due after it. Leave it empty for no end."
    )
    timezone = forms.CharField(
        label="Time zone",
        widget=forms.Select,
        help_text="Whose clock cron, starting, ending and the disabled times mean.",
    )
    disabled = Lines(
        label="Disabled times",
        required=False,
        help_text=(
            "One a line: days and a span, such as sat sun 08:00-18:00; without days it is each day. 22:00-06:00 "
            "goes on past midnight. What is due inside is skipped."
        ),
    )

    class Meta:
        model = Schedule
        fields = schedules.COLUMNS
        help_texts = {
            "cron": (
                "Five fields: minute, hour, day of the month, month, day of the week. 0 2 * * * is each night at "
                "two. Leave it empty for every."
            ),
            "every_number": "Instead of cron: each so many of the units, from starting on.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        super().__init__(*args, **kwargs)
        if "timezone" in self.fields:  # it is not where one may only look
            self.fields["timezone"].widget.choices = _zones(self.instance.timezone)

    def clean(self) -> dict[str, Any]:
        """Ask the saving rules."""
        cleaned = super().clean() or self.cleaned_data
        _fill(self.instance, cleaned)
        unread = set(self.errors)
        _ask(self, lambda: schedules.check(self.instance, unread=unread), {})
        return cleaned


def _zones(kept: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the zones by their part of the world; `kept` too, should this machine not know it any more."""
    groups: dict[str, list[tuple[str, str]]] = {"": [("UTC", "UTC")]}
    for name in sorted({*timetables.zone_names(), kept} - {"UTC"}):
        area, slash, _ = name.partition("/")
        groups.setdefault(area if slash else "Others", []).append((name, name))
    return [(area or "UTC", names) for area, names in groups.items()]


class ScheduleChoices(_ScheduleChoices):
    """Schedules, told apart by their owner."""

    def label_from_instance(self, obj: Schedule) -> str:
        """Return "owner/name"."""
        return f"{obj.owner.username}/{obj.name}"


class PolicyForm(_PolicyForm):
    """A policy, by the saving rules."""

    class Meta:
        model = Policy
        fields = (*policies.COLUMNS, "schedules")
        help_texts = {"schedules": "Of the owner's own. Without any it runs only by hand."}

    def clean(self) -> dict[str, Any]:
        """Ask the saving rules."""
        cleaned = super().clean() or self.cleaned_data
        _fill(self.instance, cleaned)
        unread = set(self.errors)
        _ask(self, lambda: policies.check(self.instance, unread=unread), {})
        if not unread & {"owner", "schedules"}:
            chosen = cleaned.get("schedules", ())
            _ask(self, lambda: policies.check_schedules(self.instance, chosen), {})
        return cleaned


class TargetForm(_TargetForm):
    """One target; the rules are asked for all of a policy's targets together."""

    exclude_volume_ids = VolumeIds(label="Excluded volumes", required=False)

    class Meta:
        model = PolicyTarget
        fields = (
            "instance_id",
            "volume_id",
            "region",
            "exclude_boot_volume",
            "exclude_volume_ids",
        )

    def validate_unique(self) -> None:
        """Leave it to the rules for all targets: two of them may swap their places."""

    def validate_constraints(self) -> None:
        """Leave it to the rules too; their sentences say more."""


class TargetSet(_TargetSet):
    """All targets of one policy, by the saving rules."""

    def clean(self) -> None:
        """Ask the saving rules; a form that is wrong in itself is left alone."""
        super().clean()
        kept = self.kept()
        if any(form.errors for form in kept):
            return
        if not kept:
            raise ValidationError(policies.NO_TARGET)
        for mistake in policies.check_targets([form.instance for form in kept]):
            kept[mistake.position].add_error(mistake.field, mistake.sentence)

    def kept(self) -> list["TargetForm"]:
        """Return the forms whose targets are to stand, in their order."""
        return [
            form
            for form in self.forms
            if (form.instance.pk or form.has_changed()) and not form.cleaned_data.get("DELETE")
        ]

    def validate_unique(self) -> None:
        """Leave it to the rules, whose sentence says more."""


def _fill(row: Account | Schedule | Policy, cleaned: dict[str, Any]) -> None:
    """Set what was entered on the row, which Django does only after clean."""
    for name, value in cleaned.items():
        if name in {field.name for field in row._meta.concrete_fields}:
            setattr(row, name, value)


def _ask(
    form: _AccountForm | _ReceiversForm | _ScheduleForm | _PolicyForm,
    check: Callable[[], None],
    columns: dict[str, str],
) -> None:
    """Tell what the rules say at the field that holds the column, or above all fields."""
    names = {column: name for name, column in columns.items()}
    try:
        check()
    except ValidationError as error:
        for column, sentences in error.message_dict.items():
            name = names.get(column, column)
            form.add_error(name if name in form.fields else None, ValidationError(sentences))
