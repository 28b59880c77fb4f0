"""What a list of runs can be narrowed to. The address has it all, so a list can be kept, shared and exported."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import django_filters
from django import forms

from policies.domain.runs import sequence
from policies.domain.runs.trigger import Trigger
from policies.models import Policy, Run
from policies.models.querysets import RunQuerySet
from scripts_admin import permissions
from scripts_admin.models import User

if TYPE_CHECKING:
    _Rows = RunQuerySet[Run]

_DAY = forms.DateInput(attrs={"type": "date"})


class RunFilter(django_filters.FilterSet):  # type: ignore[misc] # it bears no annotations
    """Narrows runs that its `request.user` may see. What names nothing is a mistake on its field, and finds no run."""

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

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as django-filter declares it
        """Whoever sees only their own runs is not asked for an owner."""
        super().__init__(*args, **kwargs)
        self._mistakes: dict[str, str] = {}
        if not permissions.sees_everything(self._person):
            del self.filters["owner"]
        for field in self.form.fields.values():
            is_choice = isinstance(field.widget, forms.Select)
            field.widget.attrs["class"] = "form-select" if is_choice else "form-control"

    @property
    def _person(self) -> User:
        assert isinstance(self.request.user, User)  # noqa: S101 - login_required lets nobody else in
        return self.request.user

    def found(self) -> "_Rows":
        """Return the runs; none if a field has a mistake."""
        rows: _Rows = self.qs
        for name, sentence in self._mistakes.items():
            self.form.add_error(name, sentence)
        return rows.none() if self.form.errors else rows

    @property
    def is_narrowed(self) -> bool:
        """Tell whether anything is asked for."""
        return any(self.data.get(name) for name in self.filters)

    def in_state(self, rows: "_Rows", _: str, state: str) -> "_Rows":
        return rows.in_state(state)

    def by_trigger(self, rows: "_Rows", _: str, trigger: str) -> "_Rows":
        return rows.of_trigger(trigger)

    def of_policy(self, rows: "_Rows", name: str, said: str) -> "_Rows":
        owner, _, policy = said.partition("/")
        seen = Policy.objects.visible_to(self._person)
        found = seen.filter(owner__username=owner, name=policy).values_list("pk", flat=True).first()
        if found is None:
            self._mistakes[name] = f"There is no policy {said[:100]!r}: write OWNER/NAME."
            return rows.none()
        return rows.filter(policy=found)

    def of_owner(self, rows: "_Rows", name: str, said: str) -> "_Rows":
        found = User.objects.filter(username=said).values_list("pk", flat=True).first()
        if found is None:
            self._mistakes[name] = f"There is no user {said[:100]!r}."
            return rows.none()
        return rows.filter(owner=found)

    def from_day(self, rows: "_Rows", _: str, day: date) -> "_Rows":
        return rows.filter(created_at__gte=_midnight(day))

    def to_day(self, rows: "_Rows", _: str, day: date) -> "_Rows":
        """The day itself is in it."""
        if day == date.max:
            return rows
        return rows.filter(created_at__lt=_midnight(day + timedelta(days=1)))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
