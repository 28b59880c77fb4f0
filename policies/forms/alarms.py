"""The form of where alarms go."""

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
        return receivers.entered(urls=urls or "", ping_url=ping or "")

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
        asking.ask(self, lambda: receivers.check(entered), columns)
        return cleaned

    def validate_constraints(self) -> None:
        """Leave it to the rules above, whose sentences say more."""
