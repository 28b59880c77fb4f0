"""Rows as a person may see them. What `visible_to` leaves out does not exist for that person."""

from typing import Self, TypeVar

from django.db import models

from policies.domain.runs import sequence
from scripts_admin import permissions
from scripts_admin.models import User

Row_co = TypeVar("Row_co", bound=models.Model, covariant=True)


class OwnedQuerySet(models.QuerySet[Row_co]):
    """Rows with an `owner`."""

    def visible_to(self, user: User) -> Self:
        """Return the rows that the user may see."""
        return permissions.visible(self, user)


class RunQuerySet(OwnedQuerySet[Row_co]):
    """Runs."""

    def unfinished(self) -> Self:
        """Return the runs that have not ended."""
        return self.filter(state__in=sorted(sequence.UNFINISHED))


class ReceiversQuerySet(models.QuerySet[Row_co]):
    """Receivers of alarms, of a user or of a policy."""

    def visible_to(self, user: User) -> Self:
        """Return the rows that the user may see: their own, and those of their policies."""
        return permissions.visible(self, user, "user", "policy__owner")
