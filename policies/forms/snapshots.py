"""What a list of snapshots can be narrowed to. The address has it all, so a list can be kept and shared."""

from typing import TYPE_CHECKING

import django_filters
from django import forms

from policies.forms.narrowing import RunsFilter
from policies.models import RunSnapshot

if TYPE_CHECKING:
    from django.db.models import QuerySet

    _Rows = QuerySet[RunSnapshot]

_ID = forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"})
_DAY = forms.DateInput(attrs={"type": "date"})


class SnapshotFilter(RunsFilter):
    of_run = "target__run__"

    state = django_filters.ChoiceFilter(
        choices=[(one.value, one.value) for one in RunSnapshot.State],
        label="State",
        empty_label="any",
        method="in_state",
    )
    policy = django_filters.CharFilter(
        label="Policy",
        method="of_policy",
        widget=forms.TextInput(attrs={"placeholder": "OWNER/NAME", "spellcheck": "false"}),
    )
    snapshot = django_filters.CharFilter(label="Snapshot", field_name="snapshot_id", widget=_ID)
    volume = django_filters.CharFilter(label="Volume", field_name="volume_id", widget=_ID)
    instance = django_filters.CharFilter(
        label="Instance", field_name="target__instance_id", widget=_ID
    )
    since = django_filters.DateFilter(label="From day (UTC)", method="from_day", widget=_DAY)
    until = django_filters.DateFilter(label="To day (UTC)", method="to_day", widget=_DAY)

    class Meta:
        model = RunSnapshot
        fields: tuple[str, ...] = ()

    def in_state(self, rows: "_Rows", _: str, state: str) -> "_Rows":
        """Say twice what is rare: an index of the others is only searched if the question excludes them."""
        found = rows.filter(state=state)
        completed = RunSnapshot.State.COMPLETED
        return found if state == completed else found.exclude(state=completed)
