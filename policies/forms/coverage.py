"""The forms of the coverage pages."""

from typing import Any

from django import forms

from policies.domain.enrolment import TAG_CHARACTERS, VALUE_CHARACTERS, What
from policies.models import Account, EnrolRule, Policy
from policies.selectors import coverage
from policies.services.coverage import deciding
from scripts_admin import permissions
from scripts_admin.forms import looks
from scripts_admin.models import User

_ANY = ("", "all")


class CoverageFilter(forms.Form):
    """What the list is narrowed to; a value that does not exist narrows to nothing."""

    q = forms.CharField(label="Name or id", required=False, max_length=256)
    tag = forms.CharField(label="Tag (key or key=value)", required=False, max_length=385)
    what = forms.ChoiceField(
        label="What", required=False, choices=[_ANY, *((w.value, w.value) for w in What)]
    )
    account = forms.CharField(label="Account (owner/name)", required=False, max_length=96)
    region = forms.CharField(label="Region", required=False, max_length=32)

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        """Give the fields the looks of the pages."""
        super().__init__(*args, **kwargs)
        looks.dress(self)

    def filters(self) -> coverage.Filters:
        """Return what could be read of the address."""
        self.is_valid()
        said = {name: value for name, value in self.cleaned_data.items() if isinstance(value, str)}
        return coverage.Filters(**{name: value.replace("\0", "") for name, value in said.items()})


class RuleForm(forms.Form):
    """A new rule of tag enrolment for one of the person's policies; the rule's account is the policy's."""

    policy = forms.CharField(
        label="Policy (owner/name)",
        max_length=97,
        help_text="What bears the tag joins this policy. The rule looks at the account of the policy.",
        widget=forms.TextInput(attrs={"list": "policies"}),
    )
    what = forms.ChoiceField(label="What", choices=[(w.value, w.value) for w in What])
    tag = forms.CharField(label="Tag key", max_length=TAG_CHARACTERS, strip=False)
    value = forms.CharField(
        label="Tag value",
        max_length=VALUE_CHARACTERS,
        required=False,
        strip=False,
        help_text="Exactly as AWS shows it; upper and lower case differ. Empty: a tag without a value.",
    )

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        """Take only policies that the person may see."""
        super().__init__(*args, **kwargs)
        self._person = person
        looks.dress(self)

    def clean_policy(self) -> Policy:
        """Return the policy of that label, or of that name if it is the person's own."""
        found = policy_of(self.cleaned_data["policy"], self._person)
        # The rule looks at the account, which is the owner's.
        if found is None or not permissions.may_change(self._person, found.account):
            raise forms.ValidationError(NO_POLICY.format(self.cleaned_data["policy"]))
        return found

    def rule(self) -> EnrolRule:
        """Return the rule as it was entered, not saved."""
        policy = self.cleaned_data["policy"]
        account: Account = policy.account
        said = {name: self.cleaned_data[name] for name in ("what", "tag", "value")}
        return EnrolRule(account=account, policy=policy, **said)


class DecisionForm(forms.Form):
    """What becomes of the chosen rows: they join a policy, or they are left out for a reason."""

    policy = forms.CharField(
        label="Policy (owner/name)",
        required=False,
        max_length=97,
        widget=forms.TextInput(attrs={"list": "policies", "form": "chosen"}),
    )
    reason = forms.CharField(
        label="Reason for leaving out",
        required=False,
        max_length=deciding.REASON_CHARACTERS,
        widget=forms.TextInput(attrs={"form": "chosen"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        """Give the fields the looks of the pages."""
        super().__init__(*args, **kwargs)
        looks.dress(self)


NO_POLICY = (
    "There is no policy {}: write the owner and the name of one of your policies, as in alice/shop."
)


def policy_of(label: str, person: User) -> Policy | None:
    """Return the policy of this label that the person may see; a name alone is one of their own."""
    owner, _, name = label.strip().rpartition("/")
    rows = Policy.objects.visible_to(person).select_related("owner", "account__owner")
    rows = rows.defer("account__secret_access_key")
    return rows.filter(owner__username=owner or person.username, name=name).first()
