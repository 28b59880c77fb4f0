"""The red banner that every page has while an application may be frozen. It renews itself without a reload.

A page polls for it with the mark of what it shows. If nothing has changed, the answer is empty and the page does
nothing, so that a page can stay open for days. It costs one search of an index.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from n2wbackup.lib import components
from policies.selectors import policies
from policies.selectors.policies import FrozenPolicy
from policies.views import visitor
from scripts_admin.models import User

SHOWN = 5
CHANGED = "frozen"  # the event at which pages ask at once instead of waiting for their next poll
_NOTHING = ""


@dataclass(frozen=True)
class Banner:
    """`rows`: the policies that have been frozen for the longest; `mark`: of all that the banner says."""

    rows: Sequence[FrozenPolicy]
    has_more: bool
    mark: str


def on_every_page(request: HttpRequest) -> Mapping[str, Callable[[], Banner | None]]:
    """Let base.html ask for the banner. Pages that do not show it make no query."""

    @cache
    def banner() -> Banner | None:
        user = getattr(request, "user", None)
        return _of(user) if isinstance(user, User) else None

    return {"frozen_banner": banner}


@require_safe
@login_required
def banner(request: HttpRequest) -> HttpResponse:
    """Give the banner if it differs from the one that the page shows; 204 if it does not."""
    if not visitor.wants_a_part(request):
        return redirect("index")
    now, shown = _of(visitor.person(request)), request.GET.get("shown", _NOTHING)
    if now.mark == shown:
        return HttpResponse(status=204)
    context = {
        "frozen_banner": now,
        "back": visitor.page_of_part(request),
        "is_part": True,
    }
    return render(request, "policies/frozen/banner.html", context)


def _of(person: User) -> Banner:
    found = policies.may_be_frozen(person, SHOWN + 1)
    # The age is a part of the mark: a banner that stays says for how long.
    said = [(row.owner, row.name, str(row.since), components.age(row.since)) for row in found]
    mark = hashlib.sha256(repr(said).encode()).hexdigest()[:12] if said else _NOTHING
    return Banner(found[:SHOWN], len(found) > SHOWN, mark)
