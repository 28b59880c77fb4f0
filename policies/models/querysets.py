"""The rows that a person may see. For that person, the rows that `visible_to` leaves out do not exist."""

from typing import Self, TypeVar

from django.db import models

from policies.domain.runs import sequence
from scripts_admin import permissions
from scripts_admin.models import User

Row_co = TypeVar("Row_co", bound=models.Model, covariant=True)


class OwnedQuerySet(models.QuerySet[Row_co]):
    """Rows with an `owner`."""

    def visible_to(self, user: User) -> Self:
        return permissions.visible(self, user)


class RunQuerySet(OwnedQuerySet[Row_co]):
    def unfinished(self) -> Self:
        return self.filter(state__in=sorted(sequence.UNFINISHED))


class ReceiversQuerySet(models.QuerySet[Row_co]):
    """Alarm receivers of a user or of a policy."""

    def visible_to(self, user: User) -> Self:
        """Return the rows that the user may see: their own, and those of their policies."""
        return permissions.visible(self, user)
