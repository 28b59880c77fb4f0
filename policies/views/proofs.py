"""The pages of proofs. A page that a person may not see is answered as if it did not exist."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from policies.domain.errors import RefusedError
from policies.domain.proofs import Level
from policies.forms.proofs import ProofForm
from policies.models import Run
from policies.selectors import proofs, runs
from policies.services.proof import asking
from policies.services.proof.asking import Wish
from policies.views import drafts, visitor
from scripts_admin import permissions

ON_A_PAGE = 50


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    """Show the proofs, the newest first."""
    found = proofs.listed(visitor.person(request))
    page = visitor.part(request, found, proofs.NEWEST, ON_A_PAGE)
    rows = [(each.run.label, proofs.row(each)) for each in page.rows]
    return render(request, "policies/proofs/list.html", {"page": page, "proofs": rows})


@require_safe
@login_required
def detail(request: HttpRequest, proof_id: UUID) -> HttpResponse:
    """Show a proof; the part that moves, while it goes on, to the page's own script."""
    person = visitor.person(request)
    found = proofs.whole().filter(pk=proof_id)
    proof = found.filter(pk__in=proofs.listed(person).values("pk")).first()
    if proof is None:
        raise Http404
    part = visitor.wants_a_part(request)
    context = {
        "proof": proof,
        "row": proofs.row(proof),
        "run": runs.row(proof.run),
        "share": proofs.share(proof),
        "level": Level(proof.level).word,
        "may_prove": permissions.may_run(person, proof.run),
        "is_part": part,
    }
    return render(request, f"policies/proofs/{'live' if part else 'detail'}.html", context)


@drafts.required
def prove(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Ask what is to be proven, and queue it."""
    person = visitor.person(request)
    run = Run.objects.visible_to(person).select_related("policy", "owner").filter(pk=run_id).first()
    if run is None or not permissions.may_run(person, run):
        raise Http404
    first = {key: request.GET[key] for key in ("source", "snapshot") if key in request.GET}
    form = ProofForm(run, drafts.sent(request), first=first)
    if request.method == "POST" and form.is_valid():
        try:
            proof = asking.ask(run, Wish(**form.cleaned_data), by=person.username, person=person)
        except RefusedError as error:
            messages.error(request, str(error))
            return redirect("run", run.pk)
        messages.success(request, f"Proof {proof.pk} is queued.")
        return redirect("proof", proof.pk)
    context = {
        "run": runs.row(run),
        "form": form,
        "signature": drafts.signature(person, request.path),
    }
    return render(request, "policies/proofs/prove.html", context)
