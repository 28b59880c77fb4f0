"""What a person does with a policy: back up, test, enable, disable, pause, resume, delete."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from policies.forms.acting import PauseForm, PolicyDeletion, TestForm
from policies.models import Policy, Run, RunSnapshot
from policies.selectors import snapshots
from policies.services import operations
from policies.services.entry import linting, policies
from policies.services.operations import Actor, Result
from policies.views import drafts, reached, visitor
from policies.views.entering import allowed, changeable
from scripts_admin import permissions


@login_required
def back_up(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    policy = allowed(request, owner, name, permissions.may_run)
    if request.method != "POST":
        return redirect("policy", owner, name)
    return _to_run(request, policy, operations.back_up([policy], by=_actor(request)))


@login_required
def switch(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Enable or disable, as `on` says."""
    policy = changeable(request, owner, name)
    if request.method == "POST":
        act = operations.enable if request.POST.get("on") == "yes" else operations.disable
        _tell(request, act([policy], by=_actor(request)))
    return redirect("policy", owner, name)


@drafts.required
def pause(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    policy = changeable(request, owner, name)
    sent = drafts.sent(request)
    form = PauseForm(sent, initial={"reason": policy.paused_reason})
    if request.method == "POST" and form.is_valid():
        until, reason = form.cleaned_data["until"], form.cleaned_data["reason"]
        _tell(request, operations.pause([policy], until=until, reason=reason, by=_actor(request)))
        return redirect("policy", owner, name)
    return _form(request, "policies/policy/pause.html", policy, form)


@login_required
def resume(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    policy = changeable(request, owner, name)
    if request.method == "POST":
        _tell(request, operations.resume([policy], by=_actor(request)))
    return redirect("policy", owner, name)


@login_required
def test(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Run the scripts without snapshots."""
    policy = allowed(request, owner, name, permissions.may_run)
    is_sent = request.method == "POST"
    form = TestForm(request.POST if is_sent else None)
    if is_sent and form.is_valid():
        phase, argument = form.cleaned_data["phase"], form.cleaned_data["argument"]
        done = operations.try_scripts([policy], by=_actor(request), phase=phase, argument=argument)
        return _to_run(request, policy, done)
    person = visitor.person(request)
    places = linting.places(policy.folder, policy.name, person, with_helpers=True)
    return _form(
        request,
        "policies/policy/test.html",
        policy,
        form,
        scripts=places,
        **reached.of(policy, person),
    )


@login_required
def delete(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Say what stays behind, and delete once the name was typed."""
    policy = allowed(request, owner, name, permissions.may_delete)
    is_sent = request.method == "POST"
    points = Run.objects.filter(policy=policy, restore_point=True).count()
    form = PolicyDeletion(policy.name, points, request.POST if is_sent else None)
    if is_sent and form.is_valid():
        fate = form.cleaned_data["fate"]
        done = operations.delete([policy], by=_actor(request), fate=fate)
        _tell(request, done)
        return redirect("policy", owner, name) if done[0].refusal else redirect("policies")
    left = {
        "runs": Run.objects.filter(policy=policy).count(),
        "snapshots": RunSnapshot.objects.filter(
            target__run__policy=policy, state=RunSnapshot.State.COMPLETED
        ).count(),
        "gib": snapshots.gib_of(policy),
        "scripts": linting.places(policy.folder, policy.name, visitor.person(request)),
        "refusal": policies.why_not_deleted(policy),
    }
    return _form(request, "policies/policy/delete.html", policy, form, **left)


def _form(
    request: HttpRequest,
    template: str,
    policy: Policy,
    form: object,
    **more: object,
) -> HttpResponse:
    signature = drafts.signature(visitor.person(request), request.path)
    return render(
        request, template, {"policy": policy, "form": form, "signature": signature, **more}
    )


def _actor(request: HttpRequest) -> Actor:
    return operations.person(visitor.person(request))


def _tell(request: HttpRequest, results: list[Result]) -> None:
    for result in results:
        level = messages.ERROR if result.refusal else messages.SUCCESS
        messages.add_message(request, level, result.sentence)


def _to_run(request: HttpRequest, policy: Policy, results: list[Result]) -> HttpResponse:
    """Go to the run that was started. If one is on its way already (a double click), go there and say so."""
    (result,) = results
    run = result.run or Run.objects.unfinished().filter(policy=policy).first()
    if result.refusal:
        messages.warning(request, result.refusal)
    return (
        redirect("run", run.pk) if run else redirect("policy", policy.owner.username, policy.name)
    )
