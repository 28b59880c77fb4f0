"""With whom a folder or a policy is shared: one person or group, and the rights."""

from typing import cast

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model

from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.forms import looks
from scripts_admin.permissions import Whom
from scripts_admin.services import sharing

PERSON, GROUP = "person", "group"


def ticked(row: Model) -> tuple[Right, ...]:
    """Return the rights with a box: `view` is a part of every right, so nobody ticks it."""
    return tuple(right for right in permissions.grantable(row) if right != Right.VIEW)


class ShareForm(forms.Form):
    """Whom to share with; nothing ticked means: only to view."""

    kind = forms.ChoiceField(
        label="With", choices=[(PERSON, "a person"), (GROUP, "a group")], initial=PERSON
    )
    name = forms.CharField(
        label="Name",
        max_length=150,
        help_text="The user name of the person, or the name of the group, exactly as it is written.",
    )
    rights = forms.MultipleChoiceField(label="May", required=False)

    def __init__(self, row: Model, *args: object, **kwargs: object) -> None:
        """Offer the rights that the row knows; tie each field to its help and its mistakes."""
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # whatever Django's form takes
        choices = [(right.value, right.value) for right in ticked(row)]
        cast("forms.MultipleChoiceField", self.fields["rights"]).choices = choices
        looks.dress(self)

    def clean(self) -> dict[str, object]:
        """Look for the person or the group."""
        said = self.cleaned_data
        if "kind" in said and "name" in said:
            find = sharing.group if said["kind"] == GROUP else sharing.person
            try:
                said["whom"] = find(said["name"])
            except sharing.SharingError as error:
                self.add_error("name", ValidationError(str(error)))
        return said

    @property
    def whom(self) -> Whom:
        found: Whom = self.cleaned_data["whom"]
        return found

    @property
    def given(self) -> tuple[Right, ...]:
        """Return what was ticked, with the right to view."""
        return (Right.VIEW, *(Right(each) for each in self.cleaned_data["rights"]))
