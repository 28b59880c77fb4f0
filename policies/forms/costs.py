"""The form that asks what other rules would cost."""

from typing import Any

from django import forms
from django.http import QueryDict

from policies.domain.document.fields import RANGES
from policies.models import Policy
from policies.services.costs.billing import NUMBERS
from scripts_admin.forms import looks

_WORDS = {
    "keep_last": "Keep last",
    "keep_daily": "Keep daily",
    "keep_weekly": "Keep weekly",
    "keep_monthly": "Keep monthly",
    "keep_yearly": "Keep yearly",
    "keep_generations": "Keep generations",
}


class WhatIfForm(forms.Form):
    """Numbers of rules; it begins with those of the policy, and saves nothing."""

    def __init__(self, policy: Policy, asked: QueryDict | None) -> None:
        super().__init__(asked)
        for column in NUMBERS:
            low, high = RANGES[column]
            self.fields[column] = forms.IntegerField(
                label=_WORDS[column],
                min_value=low,
                max_value=high,
                required=False,
                initial=getattr(policy, column),
            )
        looks.dress(self)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        return {column: cleaned.get(column) or 0 for column in NUMBERS}
