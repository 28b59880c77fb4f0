"""The forms of schedules and accounts on their own pages. Only superusers make rows for somebody else."""

from typing import TYPE_CHECKING, Any

from django import forms

from policies.forms.accounts import AccountForm
from policies.forms.schedules import ScheduleForm
from scripts_admin import permissions
from scripts_admin.forms import looks
from scripts_admin.models import User

if TYPE_CHECKING:
    _Form = forms.ModelForm[Any]
else:  # it takes no types at run time
    _Form = forms.ModelForm


class ScheduleEntry(ScheduleForm):
    def __init__(self, person: User, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        super().__init__(*args, **kwargs)
        _own(self, person)


class AccountEntry(AccountForm):
    class Meta(AccountForm.Meta):
        labels = {"auth": "Way in", "role_arn": "ARN of the role"}
        help_texts = {
            "auth": "How the server gets into the AWS account. A role is best: there is no secret to lose.",
            "access_key_id": "Only for access keys.",
            "role_arn": (
                "Only for a role, such as arn:aws:iam::123456789012:role/n2wbackup. Its trust policy needs the "
                "external id that you see after you save."
            ),
            "region": "The region that is asked first; each target names its own.",
        }

    def __init__(self, person: User, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        super().__init__(*args, **kwargs)
        _own(self, person)
        self.order_fields(("owner", "name", "auth", "access_key_id", "new_secret", "role_arn"))


def _own(form: _Form, person: User) -> None:
    """Let a superuser choose the owner of a new row; everyone else owns what they make."""
    if form.instance.pk or not person.is_superuser:
        del form.fields["owner"]
        if not form.instance.pk:
            form.instance.owner_id = person.pk  # the person of a request is a proxy of the row
    else:
        owner = form.fields["owner"]
        assert isinstance(owner, forms.ModelChoiceField)  # noqa: S101 - as the model has it
        owner.queryset = permissions.possible_owners(User.objects.order_by("username"), person)
        owner.empty_label = None
        form.initial.setdefault("owner", person.pk)
    looks.dress(form)
