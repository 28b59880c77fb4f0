"""The form with which a person asks for a proof."""

from typing import Any

from django import forms

from policies.domain import proofs
from policies.domain.proofs import Level, Recipe
from policies.models import Run, RunSnapshot
from scripts_admin.forms import looks


class ProofForm(forms.Form):
    """It begins as the policy of the run says."""

    level = forms.TypedChoiceField(
        label="Level",
        coerce=int,
        choices=proofs.LEVELS,
        help_text="Each level includes those before it. Levels 2 and 3 start an application.",
    )
    recipe = forms.ChoiceField(label="Start", choices=proofs.CHOICES)
    snapshot = forms.ChoiceField(label="Snapshot", required=False)
    full = forms.BooleanField(
        label="Read every block",
        required=False,
        help_text="Not only a sample. AWS charges about $0.61 for 100 GiB.",
    )

    def __init__(self, run: Run, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        """Offer the snapshots of the run."""
        policy = run.policy
        kwargs["initial"] = {
            "level": policy.proof_level if policy else Level.MOUNTS,
            "recipe": policy.proof_recipe if policy else Recipe.NONE,
        }
        super().__init__(*args, **kwargs)
        made = RunSnapshot.objects.filter(
            target__run=run, state=RunSnapshot.State.COMPLETED
        ).order_by("pk")
        snapshot = self.fields["snapshot"]
        assert isinstance(snapshot, forms.ChoiceField)  # noqa: S101 - as declared above
        snapshot.choices = [
            ("", "the one with the data"),
            *((each.snapshot_id, f"{each.snapshot_id} of {each.volume_id}") for each in made),
        ]
        looks.dress(self)
