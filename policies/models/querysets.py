"""The rows that a person may see. For that person, the rows that `visible_to` leaves out do not exist."""

from typing import Self, TypeVar

from django.db import models

from n2wbackup.lib.literal import Literal
from policies.domain.runs import sequence
from policies.domain.runs.sequence import State
from policies.domain.runs.trigger import Trigger
from policies.domain.runs.verdict import Consistency
from scripts_admin import permissions
from scripts_admin.models import User

Row_co = TypeVar("Row_co", bound=models.Model, covariant=True)


class OwnedQuerySet(models.QuerySet[Row_co]):
    """Rows with an `owner`."""

    def visible_to(self, user: User) -> Self:
        return permissions.visible(self, user)


class RunQuerySet(OwnedQuerySet[Row_co]):
    """Runs, asked for in the words of their indexes: `ended_at IS NULL` is what `run_unfinished` has.

    A state that is handed over beside a query does not prove to SQLite that a partial index has all rows.
    """

    def unfinished(self, *states: State) -> Self:
        """Return the runs that have not ended, or those of them in one of these states, in no order.

        In the usual order, SQLite would read all runs ever made, from the newest on, to find these few.
        """
        rows = self.filter(ended_at=None).order_by()
        return rows.filter(state__in=sorted(states)) if states else rows

    def in_state(self, state: str) -> Self:
        if state in sequence.UNFINISHED:
            return self.filter(ended_at=None, state=state)
        rows = self.filter(ended_at__isnull=False, state=state)
        return rows if state == State.SUCCEEDED else rows.exclude(state=Literal(State.SUCCEEDED))

    def of_trigger(self, trigger: str) -> Self:
        rows = self.filter(trigger=trigger)
        usual = Trigger.SCHEDULE
        return rows if trigger == usual else rows.exclude(trigger=Literal(usual))

    def of_consistency(self, consistency: str) -> Self:
        if consistency == Consistency.PENDING:
            return self.filter(ended_at=None, consistency=consistency)
        rows = self.filter(consistency=consistency)
        usual = Consistency.APPLICATION
        return rows if consistency == usual else rows.exclude(consistency=Literal(usual))


class ReceiversQuerySet(models.QuerySet[Row_co]):
    """Alarm receivers of a user or of a policy."""

    def visible_to(self, user: User) -> Self:
        """Return the rows that the user may see: their own, and those of their policies."""
        return permissions.visible(self, user)
