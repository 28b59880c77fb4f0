"""The time and the policy that an auditor's report is about."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.core.validators import ProhibitNullCharactersValidator

from n2wbackup.lib import clock
from policies.selectors.evidence import Asked

_DAY = {"type": "date", "class": "form-control"}
DAYS, MOST_DAYS = 90, 3_660


class EvidenceForm(forms.Form):
    """Without days: the last 90."""

    since = forms.DateField(
        required=False, label="From day (UTC)", widget=forms.DateInput(attrs=_DAY)
    )
    until = forms.DateField(
        required=False, label="To day (UTC)", widget=forms.DateInput(attrs=_DAY)
    )
    policy = forms.CharField(
        required=False,
        max_length=100,
        label="Policy",
        widget=forms.TextInput(
            attrs={"class": "form-control", "placeholder": "OWNER/NAME", "spellcheck": "false"}
        ),
        validators=[ProhibitNullCharactersValidator()],
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since > until:
            self.add_error("until", "The last day is before the first: exchange them.")
        elif since and until and (until - since).days > MOST_DAYS:
            self.add_error("since", "A report is about ten years at most: choose a later day.")
        return cleaned


def asked(said: Mapping[str, str]) -> tuple[EvidenceForm, Asked | None]:
    """Return the form, and what is asked for; None if a field has a mistake."""
    form = EvidenceForm(said)
    if not form.is_valid():
        return form, None
    entered = form.cleaned_data
    until = entered["until"] or clock.now().date()
    since = entered["since"] or until - timedelta(days=DAYS)
    owner, slash, name = entered["policy"].partition("/")
    return form, Asked(since, until, owner if slash else "", name if slash else owner)
