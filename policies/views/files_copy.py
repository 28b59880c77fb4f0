"""The page on which files of a snapshot are copied to an instance, and which shows how far that is."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from policies.domain.browsing import paths
from policies.domain.errors import ImageError, NoSuchPathError, RefusedError
from policies.forms.files import CopyFilesForm
from policies.models import OpenedSnapshot
from policies.services.browsing import bringing
from policies.views import drafts, files, visitor


@drafts.required
def copy(request: HttpRequest, opened_id: UUID) -> HttpResponse:
    """Ask for an instance and a folder, and have a worker copy; show the copies that were made."""
    row = files.found(request, opened_id)
    path = files.path_of(request)
    if visitor.wants_a_part(request):
        return render(request, "policies/files/copies.html", _copies(row, path))
    again = files.shown_once(request, row)
    if again is not None:
        return again
    form = CopyFilesForm(bringing.places(row), drafts.sent(request))
    if request.method == "POST" and form.is_valid():
        try:
            person = visitor.person(request).username
            bringing.ask(row, [path], form.place, form.cleaned_data["above"], by=person)
        except NoSuchPathError as error:
            raise Http404 from error
        except (RefusedError, ImageError) as error:
            messages.error(request, str(error))
        else:
            drafts.forget(request)
            messages.success(request, "A worker copies the files; this page shows how far it is.")
        return redirect(f"{reverse('files-copy', args=[row.pk])}?at={paths.token(path)}")
    context = _copies(row, path) | {
        "form": form,
        "run": row.run,
        "snapshot": row.image,
        "shown": paths.shown_path(path),
        "places": bringing.places(row),
        "signature": drafts.signature(visitor.person(request), request.path),
    }
    return render(request, "policies/files/copy.html", context)


def _copies(row: OpenedSnapshot, path: bytes) -> dict[str, object]:
    copies = list(row.brought.order_by("-asked_at")[:_SHOWN])
    going = [each for each in copies if each.ended_at is None]
    return {"opened": row, "copies": copies, "goes_on": bool(going), "at": paths.token(path)}


_SHOWN = 20
