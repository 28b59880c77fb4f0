"""Lists of the admin that stay quick however long they are: counted to a limit, and narrowed by an index."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest
from django.utils.functional import cached_property

from policies.models import Policy, Run
from policies.models.querysets import RunQuerySet
from scripts_admin import permissions
from scripts_admin.models import User

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:  # it takes no types at run time
    _Paginator = Paginator

COUNTED = 1_000
_POLICIES_AT_MOST = 100  # that one search names


class _MoreThan(int):
    """A number of rows of which it is only known that there are more."""

    def __str__(self) -> str:
        return f"more than {int(self):,}"


class Counted(_Paginator):
    """Counts no more rows than a person turns pages for: to count a million takes longer than to show some."""

    @cached_property
    def count(self) -> int:
        """Return the number of rows; from COUNTED on, a number that says "more than"."""
        rows: Any = self.object_list
        number: int = rows.order_by()[: COUNTED + 1].count()
        return _MoreThan(COUNTED) if number > COUNTED else number


class _Narrowing(admin.ChoicesFieldListFilter):
    """Asks in the words of the index that has the rare ones."""

    asks = ""

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ANN401, ARG002 - Django's signature
        values = self.lookup_val or ()
        return getattr(queryset, self.asks)(values[-1]) if values else queryset


class StateFilter(_Narrowing):
    asks = "in_state"


class ConsistencyFilter(_Narrowing):
    asks = "of_consistency"


class TriggerFilter(_Narrowing):
    asks = "of_trigger"


def searched(rows: RunQuerySet[Run], said: str, person: User) -> RunQuerySet[Run]:
    """Return the runs of a policy ("owner/name" or its name) or of an owner, or the run with this id."""
    try:
        return rows.filter(pk=UUID(said))
    except ValueError:
        pass
    owner, slash, name = said.rpartition("/")
    named = permissions.owned(Policy.objects.all(), person).filter(name__iexact=name)
    if slash:
        named = named.filter(owner__username=owner)
    wanted = Q(policy__in=list(named.values_list("pk", flat=True)[:_POLICIES_AT_MOST]))
    user = None if slash else User.objects.filter(username=said).first()
    if user is not None:
        wanted |= Q(owner=user)
    return rows.filter(wanted)
