"""What people fill in about files of a script folder."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from scripts_admin.domain import file_names, names, remote, texts
from scripts_admin.domain.phases import Phase
from scripts_admin.domain.recipes import Setting
from scripts_admin.forms.looks import Dressed, dress
from scripts_admin.ports import ScriptedPolicy

_LONGEST_MESSAGE = 200
_LONGEST_VALUE = 500
# A program takes what begins with a dash for an option: -oProxyCommand=… as a host would be run.
_VALUE = r"(?![ \t]*-)[^\x00-\x1f\x7f]*"
_INVALID = "A setting is one line without control characters, and does not begin with a dash."


class FileNameField(forms.CharField):
    """The name of a new file."""

    def __init__(self, label: str, *, help_text: str = "", required: bool = True) -> None:
        """It is stripped of blanks around it, as people paste them along."""
        super().__init__(label=label, help_text=help_text, required=required)
        self.widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def clean(self, value: object) -> str:
        name = str(value or "").strip()
        if not name and not self.required:
            return ""
        why = file_names.why_not_given(name)
        if why:
            raise ValidationError(why)
        return name


class TextForm(Dressed, forms.Form):
    """A text of the editor. `opened` is the version that it was opened at, empty for a new file."""

    name = FileNameField(
        label="Name",
        help_text="A script is called before_, after_ or complete_, then the policy, a dot and an ending: "
        "before_policy1.sh. Every other name is a helper.",
    )
    text = forms.CharField(
        label="Text",
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={
                "rows": 28,
                "spellcheck": "false",
                "autocapitalize": "off",
                "autocomplete": "off",
                "wrap": "off",
            }
        ),
    )
    keep_crlf = forms.BooleanField(
        label="Keep the Windows line ends (CRLF)",
        required=False,
        help_text="Interpreters of this machine take the CR for a part of each command.",
    )
    message = forms.CharField(
        label="What has changed",
        required=False,
        max_length=_LONGEST_MESSAGE,
        help_text="A few words for the list of versions.",
    )
    opened = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, *args: object, is_new: bool, has_crlf: bool = False, **given: object
    ) -> None:
        super().__init__(*args, **given)
        if not is_new:
            del self.fields["name"]
        if not has_crlf:
            del self.fields["keep_crlf"]
        self.fields["text"].widget.attrs["class"] = "form-control code"

    def clean_text(self) -> str:
        text = str(self.cleaned_data["text"])
        if len(text.encode("utf-8", "surrogatepass")) > texts.MAX_BYTES:
            most = texts.MAX_BYTES // 1024**2
            message = f"The text has more than {most} MiB: shorten it, or copy the file over SSH."
            raise ValidationError(message)
        return text

    @property
    def content(self) -> bytes:
        """Return what is to be stored."""
        crlf = bool(self.cleaned_data.get("keep_crlf"))
        return texts.entered(self.cleaned_data["text"], crlf=crlf)


class RenameForm(Dressed, forms.Form):
    name = FileNameField(label="New name")
    opened = forms.CharField(widget=forms.HiddenInput)


class OpenedForm(Dressed, forms.Form):
    """A deed that needs no more than the version that the person saw."""

    opened = forms.CharField(widget=forms.HiddenInput)


class CopyForm(Dressed, forms.Form):
    """Where a copy goes: to a policy, whose phase it then is, or under another name into the same folder."""

    policy = forms.ChoiceField(label="To the policy", required=False)
    name = FileNameField(
        label="Name of the copy",
        required=False,
        help_text="Leave it empty to take the name that the other policy needs.",
    )
    opened = forms.CharField(widget=forms.HiddenInput)

    def __init__(
        self, *args: object, file_name: str, policies: Sequence[ScriptedPolicy], **given: object
    ) -> None:
        super().__init__(*args, **given)
        self._file_name = file_name
        self._policies = {f"{each.folder_id}/{each.name}": each for each in policies}
        labels = [(key, f"{each.owner}/{each.name}") for key, each in self._policies.items()]
        choice = self.fields["policy"]
        assert isinstance(choice, forms.ChoiceField)  # noqa: S101 - it stands above
        choice.choices = [("", "none: into the same folder, under the name below"), *labels]

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        if not found.get("policy") and not found.get("name") and "name" not in self.errors:
            self.add_error("name", "Choose a policy, or write a name for the copy.")
        return found

    @property
    def target(self) -> tuple[int | None, str]:
        """Return the folder's key (None: the same one) and the name of the copy."""
        chosen = self._policies.get(self.cleaned_data["policy"])
        named = str(self.cleaned_data["name"])
        if chosen is None:
            return None, named
        return chosen.folder_id, named or names_for(self._file_name, chosen.name)


def names_for(file_name: str, policy: str) -> str:
    """Return the name that a script of any policy has for this one; a helper keeps its name."""
    stem, _, rest = file_name.partition(".")
    phase, _, owner = stem.partition("_")
    if not owner or phase not in set(Phase):
        return file_name
    return f"{phase}_{policy}.{rest or 'sh'}"


class UploadForm(Dressed, forms.Form):
    """The files themselves come beside it: a field of Django's takes one."""

    replace = forms.BooleanField(label="Replace files that are there already", required=False)


# By policy: its instances, and whether scripts run on each. None: that is not for whoever asks.
Instances = Mapping[str, Mapping[str, bool] | None]


class RecipeForm(Dressed, forms.Form):
    """A recipe's settings, as its own file names them, and the policy that it is for.

    With `on_instances`, also whether its scripts are for all instances of the policy or for one.
    """

    policy = forms.CharField(label="Policy", max_length=64)
    instance = forms.ChoiceField(
        label="Instances",
        initial=remote.ALL,
        help_text="A file for one instance hides, on that instance, the file for all.",
    )

    def __init__(
        self,
        *args: object,
        settings: Sequence[Setting],
        policies: Instances,
        on_instances: bool = False,
        **given: object,
    ) -> None:
        super().__init__(*args, **given)
        self._settings, self._instances = settings, policies
        if on_instances:
            choice = self.fields["instance"]
            assert isinstance(choice, forms.ChoiceField)  # noqa: S101 - it stands above
            choice.choices = [(remote.ALL, "all of the policy"), *_of_policies(policies)]
        else:
            del self.fields["instance"]
        for setting in settings:
            self.fields[f"s_{setting.name}"] = _field(setting)
        if policies:
            choices = [(name, name) for name in policies]
            self.fields["policy"] = forms.ChoiceField(label="Policy", choices=choices)
        dress(self)
        for name, field in self.fields.items():
            if name.startswith("s_"):
                field.widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def clean_policy(self) -> str:
        name = str(self.cleaned_data["policy"]).strip()
        if not names.is_policy_name(name):
            message = (
                "A policy's name has letters, digits, '_' and '-', 64 at most: correct the name."
            )
            raise ValidationError(message)
        return name

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        policy, instance = found.get("policy", ""), found.get("instance", remote.ALL)
        if policy and instance != remote.ALL and instance not in (self._instances[policy] or {}):
            message = f"{instance} is no instance of {policy}: choose one of its own, or all."
            self.add_error("instance", message)
        return found

    @property
    def instance_id(self) -> str:
        return str(self.cleaned_data.get("instance", remote.ALL))

    @property
    def values(self) -> Mapping[str, str]:
        """Return each setting as the recipe's file takes it."""
        found = {each.name: self.cleaned_data[f"s_{each.name}"] for each in self._settings}
        return {name: str(value).replace("\r\n", "\n").strip() for name, value in found.items()}


def _of_policies(policies: Instances) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for policy, instances in policies.items():
        if instances:
            yield (
                f"one of {policy}",
                [(each, _label(each, instances)) for each in sorted(instances)],
            )


def _label(instance: str, instances: Mapping[str, bool]) -> str:
    return instance if instances[instance] else f"{instance} (no scripts run there yet)"


def _field(setting: Setting) -> forms.Field:
    common: dict[str, Any] = {
        "label": setting.name.replace("_", " "),
        "help_text": setting.about,
        "initial": setting.value,
        "required": setting.is_number or setting.is_list,
    }
    if setting.is_list:
        common["help_text"] = f"{setting.about} (one in each line)" if setting.about else ""
        return forms.RegexField(
            rf"\A(?:{_VALUE}(?:\r?\n|\Z))*\Z",
            widget=forms.Textarea(attrs={"rows": 3}),
            max_length=_LONGEST_VALUE,
            error_messages={"invalid": _INVALID},
            **common,
        )
    if setting.is_number:
        return forms.IntegerField(min_value=0, max_value=86_400, **common)
    if setting.is_yes_or_no:
        return forms.ChoiceField(choices=[("yes", "yes"), ("no", "no")], **common)
    return forms.RegexField(
        rf"\A{_VALUE}\Z",
        max_length=_LONGEST_VALUE,
        error_messages={"invalid": _INVALID},
        **common,
    )
