"""The admin form of alarm receivers."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError

from policies.forms import asking
from policies.models import AlarmReceivers
from policies.services.alarms import receivers

if TYPE_CHECKING:
    _ReceiversForm = forms.ModelForm[AlarmReceivers]
else:  # they take no types at run time
    _ReceiversForm = forms.ModelForm


class ReceiversForm(_ReceiversForm):
    """The alarm receivers of a user or a policy. Stored URLs are never shown; an empty field keeps them."""

    new_urls = forms.CharField(
        label="Alarm URLs",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "cols": 60, "autocomplete": "off"}),
        help_text=(
            "One URL per line, such as mailtos://user:password@mail.example.org?to=ops@example.org. They replace "
            "the stored URLs, are stored encrypted and never shown again. Leave empty to keep the stored ones; "
            "enter none to remove them all."
        ),
    )
    new_ping_url = forms.CharField(
        label="Ping URL",
        required=False,
        widget=forms.TextInput(attrs={"size": 60, "autocomplete": "off"}),
        help_text=(
            "Only for a policy: an https:// URL, to which the server appends /start and /fail. Leave empty to keep "
            "the stored one; enter none to remove it."
        ),
    )

    class Meta:
        model = AlarmReceivers
        fields = ("user", "policy")

    def entered(self) -> dict[str, str]:
        """Return the entered values by column."""
        urls, ping = self.cleaned_data.get("new_urls"), self.cleaned_data.get("new_ping_url")
        return receivers.entered(urls=urls or "", ping_url=ping or "")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        found, entered = self.instance, self.entered()
        user, policy = (cleaned.get(name, getattr(found, name)) for name in ("user", "policy"))
        if (user is None) == (policy is None):
            raise ValidationError(
                "Receivers belong to a user or to a policy: choose exactly one of the two."
            )
        if not found.pk and not any(entered.values()):
            self.add_error("new_urls", "Enter at least one URL.")
        if user is not None and entered.get("ping_url"):
            self.add_error(
                "new_ping_url", "Only a policy can have a ping URL: choose a policy, not a user."
            )
        columns = {"new_urls": "urls", "new_ping_url": "ping_url"}
        asking.ask(self, lambda: receivers.check(entered), columns)
        return cleaned

    def validate_constraints(self) -> None:
        """The rules above check this already, with clearer sentences."""
