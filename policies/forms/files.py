"""The form with which a person copies files of a snapshot to an instance."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from policies.models import PolicyTarget
from policies.services.browsing import bringing
from scripts_admin.forms import looks


class CopyFilesForm(forms.Form):
    """Where the new folder is made."""

    instance = forms.ChoiceField(label="Instance")
    above = forms.CharField(
        label="Folder on the instance",
        max_length=bringing.LONGEST_FOLDER,
        help_text="It must be there, such as /home/ec2-user. The copy gets a new folder in it.",
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
    )

    def __init__(self, places: Sequence[PolicyTarget], *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Django's
        """`places`: the instances that can be chosen."""
        super().__init__(*args, **kwargs)
        self._places = {str(each.pk): each for each in places}
        field = self.fields["instance"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - as written above
        field.choices = [
            (key, f"{each.instance_id} as {each.remote.user} ({each.region})")
            for key, each in self._places.items()
        ]
        looks.dress(self)

    @property
    def place(self) -> PolicyTarget:
        return self._places[self.cleaned_data["instance"]]

    def clean_above(self) -> str:
        above: str = self.cleaned_data["above"]
        why_not = bringing.check(above)
        if why_not:
            raise ValidationError(why_not)
        return above
