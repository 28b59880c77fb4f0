"""The admin forms of policies and their targets."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.models import BaseInlineFormSet

from policies.domain.document import fields as document
from policies.domain.document.kinds import Kind
from policies.forms import asking
from policies.forms.lines import VolumeIds
from policies.forms.schedules import Zones, zone_choices
from policies.models import Policy, PolicyTarget
from policies.services.entry import policies
from scripts_admin.domain.remote import Remote

if TYPE_CHECKING:
    _PolicyForm = forms.ModelForm[Policy]
    _TargetForm = forms.ModelForm[PolicyTarget]
    _TargetSet = BaseInlineFormSet[Any, Any, Any]
else:  # they take no types at run time
    _PolicyForm = _TargetForm = forms.ModelForm
    _TargetSet = BaseInlineFormSet


class PolicyForm(_PolicyForm):
    class Meta:
        model = Policy
        fields: tuple[str, ...] = (*policies.COLUMNS, "schedules")
        labels = {field.column: field.label for field in document.POLICY}
        help_texts = {
            **{field.column: field.hint for field in document.POLICY},
            "schedules": "Only the owner's schedules. Without a schedule the policy runs only by hand.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        """Let browsers know the ranges. The saving rules check them, with one sentence for every way in."""
        super().__init__(*args, **kwargs)
        for each in document.POLICY:
            if each.kind == Kind.NUMBER and each.column in self.fields:
                number = self.fields[each.column]
                number.validators = []
                number.widget.attrs |= {"min": each.low, "max": each.high}
        if "retention_timezone" in self.fields:  # it is missing for people who may only view
            zone = self.fields["retention_timezone"]
            zone.widget = Zones(choices=zone_choices(self.instance.retention_timezone))
            zone.validators = []

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        asking.fill(self.instance, cleaned)
        unread = set(self.errors)
        asking.ask(self, lambda: policies.check(self.instance, unread=unread), {})
        if not unread & {"owner", "schedules"}:
            chosen = cleaned.get("schedules", ())
            asking.ask(self, lambda: policies.check_schedules(self.instance, chosen), {})
        return cleaned


class TargetForm(_TargetForm):
    """One target. `TargetSet` checks all targets of a policy together."""

    exclude_volume_ids = VolumeIds(label="Excluded volumes", required=False)

    class Meta:
        model = PolicyTarget
        # How scripts get to an instance is entered on the policy's own page, and stays as it is here.
        fields = [
            each.column for each in document.TARGET if each.column not in document.REMOTE.values()
        ]

    def clean(self) -> dict[str, Any]:
        """Drop how scripts got to the instance where the row now names another one."""
        cleaned = super().clean() or self.cleaned_data
        if self.instance.pk and {"instance_id", "region"} & set(self.changed_data):
            self.instance.remote = Remote()
        return cleaned

    def validate_unique(self) -> None:
        """`TargetSet` checks this for all targets together, as two of them may swap places."""

    def validate_constraints(self) -> None:
        """The saving rules check this too, with clearer sentences."""


class TargetSet(_TargetSet):
    def clean(self) -> None:
        """Ask the saving rules, unless one of the forms is already wrong by itself."""
        super().clean()
        kept = self.kept()
        if any(form.errors for form in kept):
            return
        if not kept:
            raise ValidationError(policies.NO_TARGET)
        for mistake in policies.check_targets([form.instance for form in kept]):
            form = kept[mistake.position]
            form.add_error(
                mistake.field if mistake.field in form.fields else None, mistake.sentence
            )

    def kept(self) -> list["TargetForm"]:
        """Return the forms whose targets stay or are new, in their order."""
        return [
            form
            for form in self.forms
            if (form.instance.pk or form.has_changed()) and not form.cleaned_data.get("DELETE")
        ]

    def validate_unique(self) -> None:
        """The saving rules check this, with a clearer sentence."""
