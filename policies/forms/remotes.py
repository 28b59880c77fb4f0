"""How scripts get to each instance of a policy: one small form for each, beside the form of the policy."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.http import QueryDict

from policies.models import PolicyTarget
from scripts_admin.domain import ssh
from scripts_admin.domain.remote import DOCUMENT, By, Key, Remote
from scripts_admin.forms import looks

_NOT_IN_AN_ID = re.compile(r"[^a-z0-9-]")
_SSH = ("user", "key", "host", "port", "bastion", "sudo")
_PATHS = ("before", "after")
_WAYS = (
    ("", "No scripts on this instance"),
    (By.SSH.value, "By SSH"),
    (By.SSM.value, "By SSM, through the agent of AWS"),
)
_KEYS = (
    (Key.INSTANCE_CONNECT.value, "EC2 Instance Connect: a new key for each run, valid for 60 s"),
    (Key.STORED.value, "a stored key of the script folder"),
)


class RemoteForm(forms.Form):
    """One instance. What belongs to another way in than the chosen one is left alone."""

    by = forms.ChoiceField(label="Scripts run there", choices=_WAYS, required=False)
    user = forms.CharField(
        label="Account on the instance",
        required=False,
        help_text="Such as ec2-user, ubuntu or root.",
    )
    key = forms.ChoiceField(label="Key", choices=_KEYS, required=False)
    host = forms.CharField(
        label="Address", required=False, help_text="Empty: the instance's private address."
    )
    port = forms.IntegerField(label="Port", required=False, initial=ssh.DEFAULT_PORT)
    bastion = forms.CharField(
        label="Bastion",
        required=False,
        help_text="A host on the way, as host, user@host or user@host:port. Empty: none.",
    )
    sudo = forms.BooleanField(
        label="Run them with sudo",
        required=False,
        help_text="The account must be allowed to use sudo without a password.",
    )
    document = forms.CharField(label="SSM document", required=False, initial=DOCUMENT)
    before = forms.CharField(
        label="Path of before there",
        required=False,
        help_text="Only for a script that lies on the instance. Empty: a file of the script folder is carried there.",
    )
    after = forms.CharField(label="Path of after there", required=False)

    def __init__(self, key: str, stored: Remote, sent: QueryDict | None) -> None:
        """`key` is `region/id`. If the form of this instance was not sent, it begins as it is stored."""
        prefix = prefix_of(key)
        is_sent = sent is not None and f"{prefix}-by" in sent
        initial = {name: getattr(stored, name) for name in Remote.__slots__}
        shown = {name: value for name, value in initial.items() if value not in ("", None)}
        super().__init__(sent if is_sent else None, prefix=prefix, initial=shown)
        self.fields["port"].widget.attrs |= {"min": 1, "max": ssh.LAST_PORT}
        for name in ("user", "host", "bastion", "document", *_PATHS):
            self.fields[name].widget.attrs |= {"spellcheck": "false", "autocapitalize": "none"}
        looks.dress(self)
        self.target, self.stored = key, stored
        self.instance = key.rpartition("/")[2]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for key, sentence in self.remote.mistakes(self.instance, is_instance=True):
            name = key.rpartition(".")[2]
            if name not in self.errors:
                self.add_error(name, sentence)
        return cleaned

    @property
    def remote(self) -> Remote:
        """What was chosen, as far as it could be read; what is stored if nothing was sent."""
        if not self.is_bound:
            return self.stored
        by = self.cleaned_data.get("by", "")
        own = {By.SSH: (*_SSH, *_PATHS), By.SSM: ("document", *_PATHS)}.get(by, ())
        said = {name: self.cleaned_data.get(name) for name in own}
        return Remote(by, **{name: v for name, v in said.items() if v is not None}).filled()

    @property
    def of_ssh(self) -> list[forms.BoundField]:
        return [self[name] for name in _SSH]

    @property
    def of_paths(self) -> list[forms.BoundField]:
        return [self[name] for name in _PATHS]


def prefix_of(key: str) -> str:
    """Return what the names and ids of an instance's fields begin with; a key that was made up may be any text."""
    return f"remote-{_NOT_IN_AN_ID.sub('-', key)}"


def forms_of(
    instances: Iterable[str], stored: Mapping[str, Remote], sent: QueryDict | None
) -> dict[str, RemoteForm]:
    """Return a form for each instance, by its `region/id`."""
    return {
        key: RemoteForm(key, stored.get(key, Remote()), sent) for key in dict.fromkeys(instances)
    }


def stored_of(targets: Iterable[PolicyTarget]) -> dict[str, Remote]:
    """Return how scripts get to the instances of stored targets, by `region/id`."""
    return {f"{each.region}/{each}": each.remote for each in targets if each.instance_id}
