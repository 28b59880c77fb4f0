"""What a list of runs can be narrowed to. The address has it all, so a list can be kept, shared and exported."""

from typing import TYPE_CHECKING

import django_filters
from django import forms

from policies.domain.runs import sequence
from policies.domain.runs.trigger import Trigger
from policies.forms.narrowing import RunsFilter
from policies.models import Run
from policies.models.querysets import RunQuerySet
from scripts_admin import permissions
from scripts_admin.models import User

if TYPE_CHECKING:
    _Rows = RunQuerySet[Run]

_DAY = forms.DateInput(attrs={"type": "date"})


class RunFilter(RunsFilter):
    state = django_filters.ChoiceFilter(
        choices=[(one.value, one.value) for one in sequence.State],
        empty_label="any",
        method="in_state",
    )
    trigger = django_filters.ChoiceFilter(
        choices=[(one.value, one.value) for one in Trigger], empty_label="any", method="by_trigger"
    )
    policy = django_filters.CharFilter(
        label="Policy",
        method="of_policy",
        widget=forms.TextInput(attrs={"placeholder": "OWNER/NAME", "spellcheck": "false"}),
    )
    owner = django_filters.CharFilter(label="Owner", method="of_owner")
    since = django_filters.DateFilter(label="From day (UTC)", method="from_day", widget=_DAY)
    until = django_filters.DateFilter(label="To day (UTC)", method="to_day", widget=_DAY)

    class Meta:
        model = Run
        fields: tuple[str, ...] = ()

    def _leave_out(self) -> None:
        """Whoever sees only their own runs is not asked for an owner."""
        if not permissions.sees_everything(self.person):
            del self.filters["owner"]

    def in_state(self, rows: "_Rows", _: str, state: str) -> "_Rows":
        return rows.in_state(state)

    def by_trigger(self, rows: "_Rows", _: str, trigger: str) -> "_Rows":
        return rows.of_trigger(trigger)

    def of_owner(self, rows: "_Rows", name: str, said: str) -> "_Rows":
        found = User.objects.filter(username=said).values_list("pk", flat=True).first()
        if found is None:
            self._mistakes[name] = f"There is no user {said[:100]!r}."
            return rows.none()
        return rows.filter(owner=found)
