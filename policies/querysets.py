"""Rows as a person may see them. What `visible_to` leaves out does not exist for that person."""

from typing import Self, TypeVar

from django.db import models

from policies.domain import sequence
from scripts_admin.models import User

Row_co = TypeVar("Row_co", bound=models.Model, covariant=True)


class OwnedQuerySet(models.QuerySet[Row_co]):
    """Rows with an `owner`."""

    def visible_to(self, user: User) -> Self:
        """Return the rows that the user may see: all for a superuser, else their own."""
        if not user.is_active:
            return self.none()
        return self if user.is_superuser else self.filter(owner=user)


class RunQuerySet(OwnedQuerySet[Row_co]):
    """Runs."""

    def unfinished(self) -> Self:
        """Return the runs that have not ended."""
        return self.filter(state__in=sorted(sequence.UNFINISHED))


class ReceiversQuerySet(models.QuerySet[Row_co]):
    """Receivers of alarms, of a user or of a policy."""

    def visible_to(self, user: User) -> Self:
        """Return the rows that the user may see: all for a superuser, else their own and their policies'."""
        if not user.is_active:
            return self.none()
        own = models.Q(user=user) | models.Q(policy__owner=user)
        return self if user.is_superuser else self.filter(own)
