"""What lists of runs, and of what runs have made, share in their filters: the policy, the days, and mistakes."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

import django_filters
from django import forms

from policies.models import Policy
from scripts_admin.models import User


class RunsFilter(django_filters.FilterSet):  # type: ignore[misc] # it bears no annotations
    """Narrows rows that its `request.user` may see. What names nothing is a mistake on its field, and finds no row.

    `of_run`: what leads from a row to its run, as the start of a field's name.
    """

    of_run: ClassVar[str] = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as django-filter declares it
        super().__init__(*args, **kwargs)
        self._mistakes: dict[str, str] = {}
        self._leave_out()
        for field in self.form.fields.values():
            is_choice = isinstance(field.widget, forms.Select)
            field.widget.attrs["class"] = "form-select" if is_choice else "form-control"

    def _leave_out(self) -> None:
        """Remove the filters that the person is not asked for, before the form is made."""

    @property
    def person(self) -> User:
        assert isinstance(self.request.user, User)  # noqa: S101 - login_required lets nobody else in
        return self.request.user

    def found(self) -> Any:  # noqa: ANN401 - a queryset of the filter's model
        """Return the rows; none if a field has a mistake."""
        rows = self.qs
        for name, sentence in self._mistakes.items():
            self.form.add_error(name, sentence)
        return rows.none() if self.form.errors else rows

    @property
    def is_narrowed(self) -> bool:
        """Tell whether anything is asked for."""
        return any(self.data.get(name) for name in self.filters)

    def of_policy(self, rows: Any, name: str, said: str) -> Any:  # noqa: ANN401 - as `found`
        owner, _, policy = said.partition("/")
        seen = Policy.objects.visible_to(self.person)
        found = seen.filter(owner__username=owner, name=policy).values_list("pk", flat=True).first()
        if found is None:
            self._mistakes[name] = f"There is no policy {said[:100]!r}: write OWNER/NAME."
            return rows.none()
        return rows.filter(**{f"{self.of_run}policy": found})

    def from_day(self, rows: Any, _: str, day: date) -> Any:  # noqa: ANN401 - as `found`
        return rows.filter(**{f"{self.of_run}created_at__gte": _midnight(day)})

    def to_day(self, rows: Any, _: str, day: date) -> Any:  # noqa: ANN401 - as `found`
        """The day itself is in it."""
        if day == date.max:
            return rows
        return rows.filter(**{f"{self.of_run}created_at__lt": _midnight(day + timedelta(days=1))})


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
