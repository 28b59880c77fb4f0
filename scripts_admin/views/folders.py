"""The pages of script folders: which there are, and what is in one."""

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from scripts_admin import permissions, ports
from scripts_admin.folders import recipes, storage
from scripts_admin.folders.looking import FileError
from scripts_admin.forms.scripts import RecipeForm, UploadForm
from scripts_admin.models import Folder
from scripts_admin.selectors import shelf
from scripts_admin.services import scripts
from scripts_admin.views import reached
from scripts_admin.views.reached import NO_DRAFT, Draft

_PAGE_SIZE = 50


@require_safe
@login_required
def listing(request: HttpRequest) -> HttpResponse:
    person = reached.person(request)
    rows = Folder.objects.visible_to(person).select_related("owner").order_by("name")
    page = Paginator(rows, _PAGE_SIZE).get_page(request.GET.get("page"))
    counts: dict[int, int] = {}
    for policy in ports.policies().of_folders([each.pk for each in page], person.pk):
        counts[policy.folder_id] = counts.get(policy.folder_id, 0) + 1
    folders = [
        (each, counts.get(each.pk, 0), permissions.may_change(person, each)) for each in page
    ]
    context = {"page": page, "folders": folders}
    return render(request, "scripts_admin/folders.html", context)


@require_safe
@login_required
def detail(request: HttpRequest, owner: str) -> HttpResponse:
    person, found = reached.person(request), reached.folder(request, owner)
    seen = shelf.of(found, person, request.GET.get("page"))
    context = {
        "folder": found,
        "shelf": seen,
        "page": seen.page,
        "place": storage.path(found),
        "kept_days": scripts.KEPT_DAYS,
        "may_change": permissions.may_change(person, found),
        "may_share": permissions.may_share(person, found),
    }
    return render(request, "scripts_admin/folder.html", context)


@login_required
def undo(request: HttpRequest, owner: str) -> HttpResponse:
    found = reached.folder(request, owner, permissions.may_change)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        name = scripts.undelete(
            found, request.POST.get("hidden", ""), actor=reached.person(request)
        )
    except FileError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{name} is back.")
    return redirect("script-folder", owner)


@login_required
def upload(request: HttpRequest, owner: str) -> HttpResponse:
    found = reached.folder(request, owner, permissions.may_change)
    form = UploadForm(reached.sent(request))
    sent = request.FILES.getlist("files")
    mistakes: list[str] = []
    if request.method == "POST" and form.is_valid():
        for each in sent:
            name = each.name or ""
            try:
                scripts.upload(
                    found,
                    name,
                    each.read(),
                    replace=form.cleaned_data["replace"],
                    actor=reached.person(request),
                )
            except FileError as error:
                mistakes.append(str(error))
            else:
                messages.success(request, f"{name} is saved.")
        if not sent:
            mistakes.append("Choose one file at least.")
        if not mistakes:
            return redirect("script-folder", owner)
    context = {"folder": found, "form": form, "mistakes": mistakes}
    return render(request, "scripts_admin/upload.html", context)


@require_safe
@login_required
def recipe_list(request: HttpRequest, owner: str) -> HttpResponse:
    found = reached.folder(request, owner, permissions.may_change)
    asked = _asked(request)
    listed = [each for each in recipes.every() if each.is_on_instance or "instance" not in asked]
    context = {"folder": found, "recipes": listed, "asked": urlencode(asked)}
    return render(request, "scripts_admin/recipes.html", context)


def _asked(request: HttpRequest) -> dict[str, str]:
    """Return what a link on the folder's page says that the scripts are for."""
    return {key: request.GET[key] for key in ("policy", "instance") if key in request.GET}


@login_required
def recipe(request: HttpRequest, owner: str, slug: str, draft: Draft = NO_DRAFT) -> HttpResponse:
    """Fill in a recipe; all its files are made, or none."""
    found = reached.folder(request, owner, permissions.may_change)
    chosen = recipes.named(slug)
    if chosen is None:
        return redirect("script-recipes", owner)
    person = reached.person(request)
    policies = ports.policies().of_folders([found.pk], person.pk)
    form = RecipeForm(
        reached.sent(request, draft),
        settings=chosen.settings,
        policies={each.name: each.instances for each in policies},
        on_instances=chosen.is_on_instance,
        initial=_asked(request),
    )
    if request.method == "POST" and form.is_valid():
        policy = form.cleaned_data["policy"]
        made = recipes.made(chosen, policy, form.values, form.instance_id)
        try:
            scripts.save_all(found, made, actor=person)
        except FileError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Made: {', '.join(sorted(made))}.")
            return redirect("script-folder", owner)
    context = {
        "folder": found,
        "recipe": chosen,
        "variants": recipes.variants(chosen),
        "form": form,
        "signature": draft.signature,
    }
    return render(request, "scripts_admin/recipe.html", context)
