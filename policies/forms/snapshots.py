"""What a list of snapshots can be narrowed to. The address has it all, so a list can be kept and shared."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import django_filters
from django import forms

from policies.models import Policy, RunSnapshot
from scripts_admin.models import User

if TYPE_CHECKING:
    from django.db.models import QuerySet

    _Rows = QuerySet[RunSnapshot]

_ID = forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"})
_DAY = forms.DateInput(attrs={"type": "date"})


class SnapshotFilter(django_filters.FilterSet):  # type: ignore[misc] # it bears no annotations
    """Narrows snapshots that its `request.user` may see. What names nothing finds no snapshot."""

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

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as django-filter declares it
        super().__init__(*args, **kwargs)
        self._mistakes: dict[str, str] = {}
        for field in self.form.fields.values():
            is_choice = isinstance(field.widget, forms.Select)
            field.widget.attrs["class"] = "form-select" if is_choice else "form-control"

    def found(self) -> "_Rows":
        """Return the snapshots; none if a field has a mistake."""
        rows: _Rows = self.qs
        for name, sentence in self._mistakes.items():
            self.form.add_error(name, sentence)
        return rows.none() if self.form.errors else rows

    @property
    def is_narrowed(self) -> bool:
        """Tell whether anything is asked for."""
        return any(self.data.get(name) for name in self.filters)

    def in_state(self, rows: "_Rows", _: str, state: str) -> "_Rows":
        """Say twice what is rare: an index of the others is only searched if the question excludes them."""
        found = rows.filter(state=state)
        completed = RunSnapshot.State.COMPLETED
        return found if state == completed else found.exclude(state=completed)

    def of_policy(self, rows: "_Rows", name: str, said: str) -> "_Rows":
        owner, _, policy = said.partition("/")
        person = self.request.user
        assert isinstance(person, User)  # noqa: S101 - login_required lets nobody else in
        seen = Policy.objects.visible_to(person).filter(owner__username=owner, name=policy)
        found = seen.values_list("pk", flat=True).first()
        if found is None:
            self._mistakes[name] = f"There is no policy {said[:100]!r}: write OWNER/NAME."
            return rows.none()
        return rows.filter(target__run__policy=found)

    def from_day(self, rows: "_Rows", _: str, day: date) -> "_Rows":
        return rows.filter(target__run__created_at__gte=_midnight(day))

    def to_day(self, rows: "_Rows", _: str, day: date) -> "_Rows":
        """The day itself is in it."""
        if day == date.max:
            return rows
        return rows.filter(target__run__created_at__lt=_midnight(day + timedelta(days=1)))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
