"""The admin form of accounts."""

from typing import TYPE_CHECKING, Any

from django import forms

from policies.forms import asking
from policies.forms.lines import Words
from policies.models import Account
from policies.services.entry import accounts

if TYPE_CHECKING:
    _AccountForm = forms.ModelForm[Account]
else:  # they take no types at run time
    _AccountForm = forms.ModelForm


class AccountForm(_AccountForm):
    """The form never shows the stored secret; an empty field keeps it."""

    new_secret = forms.CharField(
        label="Secret access key",
        required=False,
        strip=True,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown again. Leave empty to keep the stored secret.",
    )

    regions = Words(
        label="Chosen regions",
        required=False,
        help_text="Where coverage and rules by tag look. Leave empty for the region above alone.",
    )

    class Meta:
        model = Account
        fields = ("owner", "name", "auth", "access_key_id", "role_arn", "region", "regions")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        asking.fill(self.instance, cleaned)
        if cleaned.get("new_secret"):
            self.instance.secret_access_key = cleaned["new_secret"]
        columns = {"new_secret": "secret_access_key"}
        unread = {columns.get(name, name) for name in self.errors}
        asking.ask(self, lambda: accounts.check(self.instance, unread=unread), columns)
        return cleaned
