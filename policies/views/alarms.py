"""The alarms' pages: receivers with a test, quiet hours, mutes, and what became of each message.

A page that a person may not see is answered as if it did not exist.
"""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from n2wbackup.lib import clock
from policies.domain.errors import InputError
from policies.forms.alarm_pages import AlarmsFilter, MuteForm, ReceiversPageForm
from policies.models import AlarmReceivers, Policy
from policies.selectors import alarms
from policies.selectors.alarms import Page
from policies.services.alarms import muting, receivers
from policies.views import drafts, visitor
from scripts_admin import permissions
from scripts_admin.models import User

ON_A_PAGE = 50


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    """Show the person's receivers, what is muted, and what was sent, the newest first."""
    person, said = visitor.person(request), request.GET
    narrowed = AlarmsFilter(said)
    asked = narrowed.asked
    page = Page([], "", "")
    if asked is not None:
        after, before = said.get("after", ""), said.get("before", "")
        page = alarms.page(person, asked, ON_A_PAGE, after=after, before=before)
    own = alarms.receivers_of(person)
    context = {
        "filter": narrowed,
        "page": page,
        "receivers": [(each, receivers.shown(each)) for each in own],
        "has_own": any(each.user_id == person.pk for each in own),
        "mutes": alarms.mutes(person),
    }
    return render(request, "policies/alarms.html", context)


@method_decorator(drafts.required, "dispatch")  # type: ignore[arg-type] # of Django's views it asks for less
@method_decorator(sensitive_post_parameters(), "dispatch")
class Receivers(View):
    """The receivers of a user, or of a policy where the address names one."""

    def get(self, request: HttpRequest, owner: str, name: str = "") -> HttpResponse:
        found = _found(request, owner, name)
        return _page(request, found, ReceiversPageForm(found, drafts.typed(request)))

    def post(self, request: HttpRequest, owner: str, name: str = "") -> HttpResponse:
        """Save, test or delete, as the button says."""
        found = _found(request, owner, name)
        does = {"test": _test, "delete": _delete}.get(request.POST.get("do", ""), _save)
        return does(request, found)


def _found(request: HttpRequest, owner: str, name: str) -> AlarmReceivers:
    person = visitor.person(request)
    if name:
        # They are addresses of the owner, with secrets in them.
        policy = _policy(person, owner, name, permissions.may_delete)
        return receivers.of(policy=policy)
    whose = permissions.possible_owners(User.objects.all(), person)
    user = whose.filter(username=owner).first()
    if user is None:
        raise Http404
    return receivers.of(user=user)


def _policy(person: User, owner: str, name: str, may: Callable[..., bool]) -> Policy:
    rows = Policy.objects.visible_to(person).select_related("owner")
    found = rows.filter(owner__username=owner, name=name).first()
    if found is None or not may(person, found):
        raise Http404
    return found


def _page(request: HttpRequest, found: AlarmReceivers, form: ReceiversPageForm) -> HttpResponse:
    context = {
        "form": form,
        "found": found,
        "shown": receivers.shown(found) if found.pk else [],
        "may_test": bool(found.pk),
    }
    return render(request, "policies/alarm_receivers.html", context)


def _save(request: HttpRequest, found: AlarmReceivers) -> HttpResponse:
    form = ReceiversPageForm(found, request.POST)
    if not form.is_valid():
        return _page(request, found, form)
    drafts.forget(request)
    receivers.enter(found, form.entered, form.quiet, form.cleaned_data["quiet_timezone"])
    messages.success(request, f"The alarm receivers of {found} are saved. Send a test message now.")
    return redirect(request.path)


def _test(request: HttpRequest, found: AlarmReceivers) -> HttpResponse:
    try:
        tried = receivers.try_out(str(found), [found] if found.pk else [])
    except InputError as error:
        messages.error(request, str(error))
        return redirect(request.path)
    for number, each in enumerate(tried, 1):
        sentence = f"{number}. {each.shown}: {each.problem or 'the test message was accepted'}"
        (messages.error if each.problem else messages.success)(request, sentence)
    return redirect(request.path)


def _delete(request: HttpRequest, found: AlarmReceivers) -> HttpResponse:
    if not found.pk:
        return redirect(request.path)
    if request.POST.get("name", "").strip() != str(found):
        messages.error(request, f"Nothing was deleted: type {found} to delete its receivers.")
        return redirect(request.path)
    receivers.remove(found)
    messages.success(request, f"The alarm receivers of {found} are deleted.")
    return redirect("alarms")


@drafts.required
def mute(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Mute a policy for a time, or end its mute."""
    person = visitor.person(request)
    policy = _policy(person, owner, name, permissions.may_change)
    if request.method == "POST" and request.POST.get("do") == "end":
        if muting.unmute(policy):
            messages.success(request, f"{policy.label} is no longer muted.")
        return redirect("policy", owner, name)
    form = MuteForm(drafts.sent(request))
    if request.method == "POST" and form.is_valid() and _mute(form, policy, person):
        drafts.forget(request)
        messages.success(
            request, f"The alarms of {policy.label} are muted. A freeze is still told."
        )
        return redirect("policy", owner, name)
    context: dict[str, Any] = {"form": form, "policy": policy, "mute": muting.of(policy)}
    return render(request, "policies/alarm_mute.html", context)


def _mute(form: MuteForm, policy: Policy, person: User) -> bool:
    try:
        until = clock.now() + form.span
        muting.mute(policy, until=until, reason=form.cleaned_data["reason"], by=person.username)
    except ValidationError as error:
        form.tell(error)
        return False
    return True
