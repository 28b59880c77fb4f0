"""The form with which a person asks for a proof."""

from collections.abc import Mapping
from typing import Any

from django import forms

from policies.domain import proofs
from policies.domain.proofs import Level, Recipe
from policies.models import Run
from policies.selectors import sources
from policies.selectors.sources import Piece
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
    source = forms.ChoiceField(label="From", required=False)
    snapshot = forms.ChoiceField(label="Snapshot", required=False)
    full = forms.BooleanField(
        label="Read every block",
        required=False,
        help_text="Not only a sample. AWS charges about $0.61 for 100 GiB.",
    )

    def __init__(
        self,
        run: Run,
        *args: Any,  # noqa: ANN401 - as Django's
        first: Mapping[str, str] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Offer the snapshots of the run, and their copies."""
        policy = run.policy
        kwargs["initial"] = {
            "level": policy.proof_level if policy else Level.MOUNTS,
            "recipe": policy.proof_recipe if policy else Recipe.NONE,
            **(first or {}),
        }
        super().__init__(*args, **kwargs)
        pieces = sources.of_run(run)
        self._offer(
            "source",
            "the snapshots themselves; a copy, if they are gone",
            [(name, f"the {sources.in_words(name)}") for name in sources.places(pieces)],
        )
        self._offer(
            "snapshot",
            "the one with the data",
            [(each.snapshot_id, _in_words(each)) for each in pieces],
        )
        looks.dress(self)

    def _offer(self, name: str, nothing: str, found: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - as declared above
        field.choices = [("", nothing), *found]


def _in_words(piece: Piece) -> str:
    where = f" ({sources.in_words(piece.place)})" if piece.copy else ""
    return f"{piece.snapshot_id} of {piece.volume_id}{where}"
