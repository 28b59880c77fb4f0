"""The page of a run, what can be done there, and the last good run beside it.

A page that a person may not see is answered as if it did not exist.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe
from django_htmx.http import trigger_client_event

from n2wbackup.lib import clock
from policies.domain.copies.states import CopyState
from policies.domain.runs import sequence
from policies.domain.runs.sequence import State
from policies.models import Policy, Run
from policies.selectors import copies, health, proofs, run_page, runs
from policies.selectors.run_page import RunPage
from policies.services import operations
from policies.services.copies import repeating
from policies.services.operations import Actor, Result
from policies.views import first_use, frozen, kept, visitor
from policies.views.first_use import Step
from scripts_admin import permissions
from scripts_admin.models import User


@require_safe
@login_required
def detail(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Show a run; the part that moves, while the run goes on, to the page's own script."""
    found = _found(request, run_id)
    page = run_page.of(found, clock.now())
    said = hashlib.sha256(page.said.encode()).hexdigest()[:12]
    copied = copies.of_run(found)
    has_copies = any(each.is_usable for each in copied)
    context = {
        "page": page,
        "run": page.detail.run,
        "detail": page.detail,
        "attempts": page.attempts,
        "policy": page.policy,
        "deeds": _possible(found, visitor.person(request)),
        "said": said,
        "why_it_waits": health.why_nothing_starts(clock.now())
        if found.state == State.QUEUED
        else "",
        "waits_for": found.waiting_for,
        "proofs": [proofs.row(each) for each in found.proofs.all()],
        "may_prove": permissions.may_run(visitor.person(request), found),
        "copies": copied,
        "copy_places": _copy_places(found, visitor.person(request)),
        "may_repeat_copies": any(each.state == CopyState.FAILED for each in copied)
        and permissions.may_run(visitor.person(request), found),
        "kept": kept.of(found, visitor.person(request)),
        "first_use": _first_use(found, visitor.person(request)),
        "is_news": request.GET.get("said", said) != said,
    }
    context["sees_files"] = permissions.may_restore(visitor.person(request), found)
    context["may_restore"] = bool(context["sees_files"]) and (found.restore_point or has_copies)
    context["can_be_proven"] = bool(context["kept"]) or has_copies
    context["sees_texts"] = _sees_texts(visitor.person(request), page)
    part = visitor.wants_a_part(request)
    context["is_part"] = part
    answer = render(request, "policies/run/live.html" if part else "policies/run.html", context)
    if part and (page.may_be_frozen or not page.goes_on):
        trigger_client_event(answer, frozen.CHANGED)  # the banner is as new as what is below it
    return answer


def _copy_places(run: Run, person: User) -> list[str]:
    """Return the places to which the person may have the restore point copied."""
    may = run.restore_point and run.policy is not None and permissions.may_run(person, run)
    return repeating.places(run) if may else []


def _first_use(run: Run, person: User) -> Sequence[Step]:
    """Return what comes after a test that has ended."""
    if run.policy is None or run.ended_at is None or not run.is_test:
        return ()
    return first_use.of_policy(run.policy, person)


@require_safe
@login_required
def compare(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Show the run and the policy's last good run before it, fact by fact."""
    found = _found(request, run_id)
    good = run_page.last_good(found)
    context = {
        "run": runs.row(found),
        "good": runs.row(good) if good else None,
        "rows": run_page.side_by_side(found, good) if good else (),
    }
    return render(request, "policies/run/compare.html", context)


class Deed(NamedTuple):
    """Something that a person can do from the page of a run. `word` is in the address."""

    word: str
    label: str
    picture: str
    act: Callable[[Run, Policy | None, Actor], list[Result]]
    on_run: bool = False  # else on its policy
    danger: bool = False


def _cancel(run: Run, _: Policy | None, by: Actor) -> list[Result]:
    return operations.cancel([run], by=by)


def _again(_: Run, policy: Policy | None, by: Actor) -> list[Result]:
    return operations.back_up([policy] if policy else [], by=by)


def _thaw(_: Run, policy: Policy | None, by: Actor) -> list[Result]:
    return operations.thaw_now([policy] if policy else [], by=by)


def _thawed(_: Run, policy: Policy | None, by: Actor) -> list[Result]:
    return operations.confirm_thaw([policy] if policy else [], by=by)


DEEDS: Mapping[str, Deed] = {
    deed.word: deed
    for deed in (
        Deed("thaw", "Thaw now", "snowflake", _thaw),
        Deed("thawed", "I have thawed it", "check", _thawed),
        Deed("cancel", "Cancel", "ban", _cancel, on_run=True, danger=True),
        Deed("again", "Run again", "player-play", _again),
    )
}


@login_required
def deed(request: HttpRequest, run_id: UUID, word: str) -> HttpResponse:
    """Ask, and say what will happen; do it when the form is sent."""
    found = _found(request, run_id)
    person = visitor.person(request)
    chosen = DEEDS.get(word)
    if chosen is None or not _may(chosen, found, person):
        raise Http404
    if request.method != "POST":
        context = {
            "run": runs.row(found),
            "state": found.state,
            "policy": found.policy,
            "deed": chosen,
            "is_possible": chosen in _possible(found, person),
        }
        return render(request, "policies/run/deed.html", context)
    results = chosen.act(found, found.policy, operations.person(person))
    for result in results:
        level = messages.ERROR if result.refusal else messages.SUCCESS
        messages.add_message(request, level, result.sentence)
    new = next((result.run for result in results if result.run is not None), found)
    return redirect("run", new.pk)


def _sees_texts(person: User, page: RunPage) -> bool:
    there = [row for on in page.on_instances for row in on.attempts]
    is_there = page.policy is not None and any(
        row.script_sha256 for row in (*page.attempts, *there)
    )
    return is_there and page.policy is not None and permissions.may_see(person, page.policy.folder)


def _found(request: HttpRequest, run_id: UUID) -> Run:
    rows = (
        runs.whole()
        .visible_to(visitor.person(request))
        .select_related("policy__owner", "policy__folder")
    )
    found = rows.filter(pk=run_id).first()
    if found is None:
        raise Http404
    return found


def _possible(run: Run, person: User) -> list[Deed]:
    """Return what the person can do now, in the order of the buttons."""
    state, policy = State(run.state), run.policy
    thawing = state == State.THAWING or (state == State.FROZEN and run.server_gone_at is not None)
    marked = policy is not None and policy.may_be_frozen_since is not None
    can = {
        "thaw": policy is not None and (thawing or (marked and state in sequence.ENDS)),
        "thawed": policy is not None and (thawing or marked),
        "cancel": state in sequence.UNFINISHED
        and run.cancel_requested_at is None
        and run.complete_started_at is None,
        "again": policy is not None and state in sequence.ENDS and not run.is_test,
    }
    return [each for each in DEEDS.values() if can[each.word] and _may(each, run, person)]


def _may(chosen: Deed, run: Run, person: User) -> bool:
    row = run if chosen.on_run else run.policy
    return row is not None and permissions.may_run(person, row)
