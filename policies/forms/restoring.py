"""The form with which a person restores from a run: what comes back, where, and how it differs from what it was."""

from typing import Any

from django import forms

from policies.domain.recovery.states import Kind
from policies.models import Account, Run
from policies.selectors import sources
from policies.services.recovery.planning import KEEP_DAYS, Choices
from scripts_admin.forms import looks

_KINDS = [
    (Kind.VOLUME.value, "a volume, as a new one"),
    (
        Kind.VOLUME_IN_PLACE.value,
        "a volume in its place; the root volume of a running instance, too",
    ),
    (Kind.INSTANCE.value, "a whole instance, as a new one"),
]
_TYPES = ["gp3", "gp2", "io2", "io1", "st1", "sc1", "standard"]
_AS_IT_WAS = "as it was"
_THEMSELVES = "the snapshots themselves; a copy, if they are gone"
# Beside each other on the page, under these heads.
GROUPS: dict[str, tuple[str, ...]] = {
    "What comes back": ("kind", "volume_id", "instance_id", "source"),
    "A new volume": ("attach_to", "device", "zone", "volume_type", "iops", "throughput"),
    "How AWS makes it": ("kms_key_id", "rate", "account"),
    "In its place": ("stops", "unmounted", "keep_days"),
    "A new instance": ("subnet_id", "instance_type", "name"),
}


class RestoreForm(forms.Form):
    """Empty fields: as it was when the backup was made."""

    kind = forms.ChoiceField(label="Restore", choices=_KINDS, initial=Kind.VOLUME.value)
    volume_id = forms.ChoiceField(label="Volume", required=False)
    instance_id = forms.ChoiceField(label="Instance", required=False)
    source = forms.ChoiceField(
        label="From",
        required=False,
        help_text="A copy is restored in its own region and account.",
    )
    attach_to = forms.CharField(
        label="Attach to the instance",
        required=False,
        max_length=32,
        help_text="Its id. Leave empty to attach it nowhere.",
    )
    device = forms.CharField(
        label="At the device", required=False, max_length=64, help_text="Such as /dev/sdf."
    )
    zone = forms.CharField(
        label="Availability zone",
        required=False,
        max_length=64,
        help_text="Of the new volume or instance. Leave empty for the zone that it was in.",
    )
    volume_type = forms.ChoiceField(
        label="Type",
        required=False,
        choices=[("", _AS_IT_WAS), *((each, each) for each in _TYPES)],
    )
    iops = forms.IntegerField(label="IOPS", required=False, min_value=100, max_value=256_000)
    throughput = forms.IntegerField(
        label="Throughput in MiB/s (gp3)", required=False, min_value=125, max_value=2_000
    )
    kms_key_id = forms.CharField(
        label="KMS key", required=False, max_length=2048, help_text="Leave empty for its own key."
    )
    rate = forms.IntegerField(
        label="Initialization rate in MiB/s",
        required=False,
        min_value=100,
        max_value=300,
        help_text="AWS loads the volume at this rate, which costs money. Leave empty to load it as AWS has time.",
    )
    account = forms.ChoiceField(label="Account", required=False)
    stops = forms.BooleanField(
        label="Stop the instance if it runs, and start it again", required=False
    )
    unmounted = forms.BooleanField(
        label="The volume is unmounted there: do not stop the instance", required=False
    )
    keep_days = forms.IntegerField(
        label="Days for which the old volume is tagged to be kept",
        required=False,
        initial=KEEP_DAYS,
        min_value=1,
        max_value=3_650,
    )
    subnet_id = forms.CharField(
        label="Subnet", required=False, max_length=32, help_text="Leave empty for its own."
    )
    instance_type = forms.CharField(
        label="Instance type", required=False, max_length=32, help_text="Leave empty for its own."
    )
    name = forms.CharField(
        label="Name", required=False, max_length=200, help_text="Leave empty for its own."
    )

    def __init__(self, run: Run, *args: Any, owns: bool, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        """Offer what the run has; `owns`: the person may use the owner's other accounts, too."""
        super().__init__(*args, **kwargs)
        pieces = sources.of_run(run)
        instances = [each.target.instance_id for each in pieces if each.target.instance_id]
        accounts = Account.objects.filter(owner=run.owner_id).order_by("name") if owns else []
        self.has_points = bool(pieces)
        self.only_copies = bool(pieces) and all(each.copy for each in pieces)
        self._offer("volume_id", [each.volume_id for each in pieces])
        self._offer("instance_id", instances)
        source = self.fields["source"]
        assert isinstance(source, forms.ChoiceField)  # noqa: S101 - as declared above
        source.choices = [
            ("", "the copy that is there" if self.only_copies else _THEMSELVES),
            *((name, f"the {sources.in_words(name)}") for name in sources.places(pieces)),
        ]
        self._offer("account", [each.name for each in accounts], "the policy's own")
        looks.dress(self)

    def _offer(self, name: str, found: list[str], nothing: str = "") -> None:
        choices = [(each, each) for each in dict.fromkeys(found)]
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - as declared above
        field.choices = [("", nothing or "none"), *choices] if nothing or not choices else choices

    @property
    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """Return the fields under their heads."""
        return [(head, [self[name] for name in names]) for head, names in GROUPS.items()]

    @property
    def choices(self) -> Choices:
        """Return what was chosen; only after the form was found valid."""
        said = {key: of for key, of in self.cleaned_data.items() if of}
        kind = Kind(said.pop("kind"))
        if kind == Kind.INSTANCE:
            said.pop("volume_id", None)
        else:
            said.pop("instance_id", None)
        if kind != Kind.VOLUME:
            said.pop("attach_to", None)
        return Choices(kind=kind, **said)
