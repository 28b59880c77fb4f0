"""The filters of the list of policies: in the address, and remembered for each person in a cookie."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from policies.domain.protection import WORST
from policies.models import Policy
from policies.models.querysets import OwnedQuerySet
from policies.selectors import protection

COOKIE = "policies"
_YEAR_SECONDS = 365 * 24 * 3600
_LONGEST = 64
STATES = (
    protection.FROZEN,
    protection.ATTENTION,
    protection.FAILING,
    *(str(state) for state in WORST),
)


class Chosen(NamedTuple):
    """What a person chose; empty: everything. `after` is the key of the last row of the page before."""

    state: str = ""
    owner: str = ""
    text: str = ""
    after: str = ""

    @property
    def is_narrow(self) -> bool:
        return bool(self.state or self.owner or self.text)

    @property
    def query(self) -> str:
        """Return the filter as it stands in an address, without the page."""
        values = {"state": self.state, "owner": self.owner, "q": self.text}
        return urlencode({name: value for name, value in values.items() if value})


def asked(request: HttpRequest) -> Chosen:
    """Return what the address asks for; what it cannot mean is left out."""
    get = request.GET
    state = get.get("state", "")
    return Chosen(
        state if state in STATES else "",
        get.get("owner", "")[:_LONGEST],
        get.get("q", "")[:_LONGEST].strip(),
        get.get("after", ""),
    )


def remembered(request: HttpRequest) -> str:
    """Return the filter that the person used last, as a query, if the address says nothing about one."""
    if request.GET or request.method != "GET":
        return ""
    key, _, query = request.COOKIES.get(COOKIE, "").partition(":")
    if key != str(request.user.pk):
        return ""
    known = {"state", "owner", "q"}
    return urlencode([(name, value) for name, value in parse_qsl(query) if name in known])


def remember(request: HttpRequest, answer: HttpResponse, chosen: Chosen) -> None:
    """Keep the filter for this person, on this browser."""
    if not request.GET:
        return
    answer.set_cookie(
        COOKIE,
        f"{request.user.pk}:{chosen.query}",
        max_age=_YEAR_SECONDS,
        path=request.path,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def matching(rows: OwnedQuerySet[Policy], chosen: Chosen, now: datetime) -> OwnedQuerySet[Policy]:
    """Return the policies that fit, worst first."""
    if chosen.state:
        rows = protection.in_state(rows, chosen.state, now)
    if chosen.owner:
        rows = rows.filter(owner__username=chosen.owner)
    if chosen.text:
        rows = rows.filter(name__icontains=chosen.text)
    return rows.order_by("protected_until", "pk")


def page(rows: OwnedQuerySet[Policy], chosen: Chosen, size: int) -> tuple[Sequence[Policy], str]:
    """Return a page of the rows, and the query of the next one, "" if there is none. No page counts what is before."""
    last = _key(chosen.after)
    if last is not None:
        at, key = last
        rows = rows.filter(
            Q(protected_until__gt=at) | Q(protected_until=at, pk__gt=key), protected_until__gte=at
        )
    found = list(rows[: size + 1])
    if len(found) <= size:
        return found, ""
    end = found[size - 1]
    after = f"{end.protected_until.isoformat()}_{end.pk}"
    return found[:size], "&".join(filter(None, [chosen.query, urlencode({"after": after})]))


def _key(after: str) -> tuple[datetime, int] | None:
    at, _, key = after.partition("_")
    try:
        return datetime.fromisoformat(at).astimezone(UTC), int(key)
    except (ValueError, OverflowError):
        return None
