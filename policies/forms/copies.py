"""The form of a place to which the snapshots of a policy are copied."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import QueryDict

from policies.domain.copies.rules import HIGHEST, LONGEST_MINUTES
from policies.models import Account, CopyRule, Policy
from policies.services.entry import copy_rules
from scripts_admin.forms import looks

_KEPT = {
    "keep_last": "Keep last",
    "keep_daily": "Keep daily",
    "keep_weekly": "Keep weekly",
    "keep_monthly": "Keep monthly",
    "keep_yearly": "Keep yearly",
    "keep_generations": "Keep generations",
}
KEPT = tuple(_KEPT)


class CopyRuleForm(forms.Form):
    """A rule of the policy; `present` is the one that it changes."""

    region = forms.CharField(
        label="Region", max_length=32, help_text="Where the copies are to be, such as eu-central-1."
    )
    account = forms.ModelChoiceField(
        queryset=Account.objects.none(),
        required=False,
        label="Account",
        empty_label="the account of the policy",
        help_text="An account of the same owner. Copies in another AWS account survive the loss of this one.",
    )
    kms_key = forms.CharField(
        label="KMS key",
        required=False,
        max_length=2048,
        help_text=(
            "Encrypt the copies with this key of that region and account: its ARN, id or alias. Leave empty to "
            "encrypt copies of encrypted snapshots with the default key there."
        ),
    )
    completion_minutes = forms.IntegerField(
        label="Complete within",
        min_value=0,
        max_value=LONGEST_MINUTES,
        initial=0,
        help_text=(
            "Minutes, by 15. AWS charges for it by the GiB, and an alarm says when the time was not kept. "
            "0: no time limit."
        ),
    )

    def __init__(
        self, policy: Policy, sent: QueryDict | None, present: CopyRule | None = None
    ) -> None:
        first: dict[str, Any] = {}
        if present is not None:
            first = {name: getattr(present, name) for name in self.base_fields} | {
                column: getattr(present, column) for column in KEPT
            }
        super().__init__(sent, initial=first)
        self._policy, self._present = policy, present
        field = self.fields["account"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - as it is declared above
        field.queryset = policy.owner.accounts.defer("secret_access_key").order_by("name")
        for column, label in _KEPT.items():
            self.fields[column] = forms.IntegerField(
                label=label, min_value=0, max_value=HIGHEST[column], initial=0
            )
        looks.dress(self)

    @property
    def kept(self) -> list[forms.BoundField]:
        return [self[column] for column in KEPT]

    @property
    def place(self) -> list[forms.BoundField]:
        return [self[name] for name in self.base_fields]

    def wanted(self) -> Sequence[CopyRule]:
        """Return all rules of the policy as they would be with this one."""
        rows = self._rows()
        entered = CopyRule(policy=self._policy, **self.cleaned_data)
        if self._present is None:
            return [*rows, entered]
        return [entered if row.pk == self._present.pk else row for row in rows]

    def entered(self, present: CopyRule) -> CopyRule:
        """Return the rule as it would be, with the copies of the present one if the place stays."""
        made = CopyRule(policy=present.policy, **self.cleaned_data)
        made.pk = present.pk
        return made

    def _rows(self) -> list[CopyRule]:
        return list(self._policy.copy_rules.select_related("account").order_by("pk"))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        wanted = self.wanted()
        own = len(wanted) - 1
        if self._present is not None:
            own = [row.pk for row in self._rows()].index(self._present.pk)
        for number, column, sentence in copy_rules.mistakes(self._policy, wanted):
            name = column if number in {own, len(wanted)} else "region"
            if name not in self.errors:
                self.add_error(name, sentence)
        return cleaned
