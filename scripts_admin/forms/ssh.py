"""The forms of keys and hosts. What is secret is never filled in again."""

from typing import Any

from django import forms

from scripts_admin.domain import ssh
from scripts_admin.forms.looks import Dressed
from scripts_admin.hosts import keypairs


class _NeverFilledIn(forms.Textarea):
    """A box whose text does not come back with the page, as a password's does not."""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:  # noqa: ANN401, ARG002
        return super().get_context(name, None, attrs)


class BringKeyForm(Dressed, forms.Form):
    """A private key that somebody has."""

    private = forms.CharField(
        label="Private key",
        max_length=2 * keypairs.LONGEST_CHARACTERS,
        strip=False,
        widget=_NeverFilledIn(attrs={"rows": 8, "autocomplete": "off", "spellcheck": "false"}),
        help_text="The whole file, in OpenSSH's form or as PEM. It is kept encrypted and never shown.",
    )
    passphrase = forms.CharField(
        label="Passphrase",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Only if the key has one. It opens the key now and is not kept.",
    )


class AddHostForm(Dressed, forms.Form):
    """A host whose key a worker is to get."""

    name = forms.CharField(
        label="Host",
        max_length=253,
        help_text="As your scripts write it: a name such as db1.example.org, or an IP address.",
    )
    port = forms.IntegerField(
        label="Port", min_value=1, max_value=ssh.LAST_PORT, initial=ssh.DEFAULT_PORT
    )
    expected = forms.CharField(
        label="Expected fingerprint",
        required=False,
        max_length=2000,
        help_text=(
            "If you have it from elsewhere (ssh-keygen -l on the host): the right key is then approved by itself, "
            "and any other is refused."
        ),
    )


class ExpectForm(Dressed, forms.Form):
    """A fingerprint that somebody has from elsewhere."""

    expected = forms.CharField(
        label="Expected fingerprint",
        max_length=2000,
        help_text="SHA256:… as ssh-keygen -l shows it. A match approves the key, anything else refuses it.",
    )


class TieForm(Dressed, forms.Form):
    """Which runs look at the host before they freeze anything."""

    policies = forms.MultipleChoiceField(
        label="Policies",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Only runs of these policies ask this host for its key before they freeze anything.",
    )
    instance_id = forms.ChoiceField(
        label="Instance",
        required=False,
        help_text=(
            "The host's own instance: without policies above, the runs that back it up ask the host. "
            "Without either, every run of these scripts does."
        ),
    )

    def __init__(self, policies: list[str], instances: list[str], *args: object) -> None:
        """Offer the policies of the folder and their instances."""
        super().__init__(*args)
        chosen, instance = self.fields["policies"], self.fields["instance_id"]
        chosen.choices = [(name, name) for name in policies]  # type: ignore[attr-defined]
        instance.choices = [("", "none"), *((each, each) for each in instances)]  # type: ignore[attr-defined]
