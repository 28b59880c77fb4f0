"""What the audit can be narrowed to. The address has it all, so a list can be kept, shared and exported."""

from collections.abc import Mapping
from enum import StrEnum

from django import forms
from django.core.validators import ProhibitNullCharactersValidator

from policies.selectors.audit import Asked
from scripts_admin.domain.audit import Action, Kind

_DAY = {"type": "date", "class": "form-control"}
_TEXT = {"class": "form-control", "spellcheck": "false", "autocomplete": "off"}


def _any_of(words: type[StrEnum]) -> list[tuple[str, str]]:
    return [("", "any"), *((word.value, word.value) for word in words)]


class AuditForm(forms.Form):
    """The filter above the list. A mistake is shown at its field, and then nothing is found."""

    who = forms.CharField(
        required=False,
        max_length=150,
        widget=forms.TextInput(attrs=_TEXT),
        validators=[ProhibitNullCharactersValidator()],
    )
    action = forms.ChoiceField(
        required=False, choices=_any_of(Action), widget=forms.Select(attrs={"class": "form-select"})
    )
    kind = forms.ChoiceField(
        required=False,
        label="What",
        choices=_any_of(Kind),
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    subject = forms.CharField(
        required=False,
        max_length=200,
        label="Name",
        widget=forms.TextInput(attrs={**_TEXT, "placeholder": "OWNER/NAME"}),
        validators=[ProhibitNullCharactersValidator()],
    )
    since = forms.DateField(
        required=False, label="From day (UTC)", widget=forms.DateInput(attrs=_DAY)
    )
    until = forms.DateField(
        required=False, label="To day (UTC)", widget=forms.DateInput(attrs=_DAY)
    )


class AuditFilter:
    """The form with what the address says."""

    def __init__(self, said: Mapping[str, str]) -> None:
        """Take the parameters of the address."""
        self.form = AuditForm(said)
        self._said = said

    @property
    def is_narrowed(self) -> bool:
        """Tell whether anything is asked for."""
        return any(self._said.get(name) for name in self.form.fields)

    @property
    def asked(self) -> Asked | None:
        """Return what is asked for; None if a field has a mistake."""
        return Asked(**self.form.cleaned_data) if self.form.is_valid() else None
