"""The pages of what is in a snapshot: opening it, its folders, downloads, closing it.

A page that a person may not see is answered as if it did not exist. Who may not restore may not see files either.
"""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django_htmx.http import HttpResponseClientRedirect

from n2wbackup.lib import home
from policies.domain.browsing import paths
from policies.domain.browsing.paths import NotAPathError
from policies.domain.errors import ImageError, NoSuchPathError, RefusedError
from policies.models import Copy, OpenedSnapshot, RunSnapshot
from policies.selectors import opened as rows
from policies.services.browsing import asking, opening, using
from policies.services.browsing.using import Download
from policies.views import sending, visitor
from scripts_admin import permissions
from scripts_admin.views import confirming

_SHOWN = (
    "files_shown"  # in a session: the opened snapshots for which the person has shown who they are
)
_MOST_SHOWN = 20
LONGEST_WORDS = 200


@login_required
def of_snapshot(request: HttpRequest, snapshot_id: str) -> HttpResponse:
    """Say what opening a snapshot means, and have it opened when the form is sent."""
    snapshot, copy = _snapshot(request, snapshot_id)
    if request.method == "POST":
        return _asked(request, snapshot, copy)
    context = {
        "snapshot": copy or snapshot,
        "copy": copy,
        "volume_id": snapshot.volume_id,
        "run": snapshot.target.run,
        "problem": asking.problem(snapshot, copy),
        "present": rows.of_snapshot(snapshot, copy, home.server_id()),
    }
    return render(request, "policies/files/ask.html", context)


def _asked(request: HttpRequest, snapshot: RunSnapshot, copy: Copy | None) -> HttpResponse:
    part = request.POST.get("part", "")
    number = int(part) if part.isascii() and part.isdigit() and len(part) <= 3 else asking.LARGEST  # noqa: PLR2004
    try:
        row = asking.ask(snapshot, by=visitor.person(request).username, part=number, copy=copy)
    except RefusedError as error:
        messages.error(request, str(error))
        return redirect("snapshot-files", (copy or snapshot).snapshot_id)
    return redirect("files", row.pk)


def _snapshot(request: HttpRequest, snapshot_id: str) -> tuple[RunSnapshot, Copy | None]:
    """Return the snapshot with this id, or the copy and its source; 404 for who may not restore from their run."""
    person = visitor.person(request)
    seen = permissions.visible(rows.snapshots(), person)
    source = seen.filter(snapshot_id=snapshot_id).first()
    copy = None
    if source is None:
        copy = rows.copies().filter(snapshot_id=snapshot_id).first()
        source = seen.filter(pk=copy.source_id).first() if copy else None
    if source is None or not permissions.may_restore(person, source):
        raise Http404
    return source, copy


def found(request: HttpRequest, opened_id: UUID) -> OpenedSnapshot:
    """Return the opened snapshot if the person may restore from its run; 404 if not."""
    row = rows.whole().filter(pk=opened_id).first()
    if row is None or not permissions.may_restore(visitor.person(request), row.run):
        raise Http404
    return row


def path_of(request: HttpRequest, name: str = "at") -> bytes:
    """Return the path of the address; 404 for what is none."""
    try:
        return paths.of_token(request.GET.get(name, ""))
    except NotAPathError:
        raise Http404 from None


@require_safe
@login_required
def folder(request: HttpRequest, opened_id: UUID) -> HttpResponse:
    """Show a folder or what a search found; while the snapshot is being opened, how far that is."""
    row = found(request, opened_id)
    if not row.is_open:
        return _standing(request, row)
    if visitor.wants_a_part(request):
        return HttpResponseClientRedirect(reverse("files", args=[row.pk]))
    path = path_of(request)
    context = _about(row) | {
        "crumbs": paths.crumbs(path),
        "shown": paths.shown_path(path),
        "at": paths.token(path),
        "words": request.GET.get("q", "").strip()[:LONGEST_WORDS],
    }
    try:
        more = _found(context, row, path) if context["words"] else _listed(request, row, path)
    except NoSuchPathError as error:
        raise Http404 from error
    except RefusedError:
        row.refresh_from_db()
        return _standing(request, row)
    except ImageError as error:
        more = {"trouble": str(error)}
    return render(request, "policies/files/folder.html", context | more)


def _standing(request: HttpRequest, row: OpenedSnapshot) -> HttpResponse:
    part = visitor.wants_a_part(request)
    template = "policies/files/opening.html" if part else "policies/files/not_open.html"
    return render(request, template, _about(row) | {"is_part": part})


def _about(row: OpenedSnapshot) -> dict[str, object]:
    return {
        "opened": row,
        "run": row.run,
        "snapshot": row.image,
        "about": row.about,
        "idle_at": opening.idle_at(row),
        "is_elsewhere": row.server != home.server_id(),
    }


def _listed(request: HttpRequest, row: OpenedSnapshot, path: bytes) -> dict[str, object]:
    after = path_of(request, "after")
    page = using.folder(row, path, after)
    last = page.entries[-1].name if page.entries and page.more else b""
    return {"rows": rows.rows(page.entries), "next": paths.token(last), "is_later": bool(after)}


def _found(context: dict[str, object], row: OpenedSnapshot, path: bytes) -> dict[str, object]:
    hits = using.search(row, str(context["words"]), path)
    return {"rows": rows.rows(hits.entries), "is_all": hits.complete}


@require_safe
@login_required
def download(request: HttpRequest, opened_id: UUID) -> HttpResponse | StreamingHttpResponse:
    """Send a file, or the rest of one that was cut."""
    wanted = sending.wanted(request)
    return _sent(request, opened_id, lambda row, path: using.download(row, path, wanted))


@require_safe
@login_required
def as_zip(request: HttpRequest, opened_id: UUID) -> HttpResponse | StreamingHttpResponse:
    """Send a folder, or a file, as a zip."""
    return _sent(request, opened_id, using.as_zip)


def _sent(
    request: HttpRequest, opened_id: UUID, begin: Callable[[OpenedSnapshot, bytes], Download]
) -> HttpResponse | StreamingHttpResponse:
    row, path = found(request, opened_id), path_of(request)
    again = shown_once(request, row)
    if again is not None:
        return again
    try:
        return sending.answer(request, visitor.person(request).pk, lambda: begin(row, path))
    except NoSuchPathError as error:
        raise Http404 from error
    except (RefusedError, ImageError) as error:
        messages.error(request, str(error))
        return redirect("files", row.pk)


def shown_once(request: HttpRequest, row: OpenedSnapshot) -> HttpResponse | None:
    """Have the person show who they are before the first content of an opened snapshot; None if they have."""
    key, seen = str(row.pk), list(request.session.get(_SHOWN, []))
    if key in seen:
        return None
    if not confirming.is_confirmed(request):
        return confirming.confirmed(_nothing)(request)
    request.session[_SHOWN] = [*seen, key][-_MOST_SHOWN:]
    return None


def _nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(request.get_full_path())


@login_required
def close(request: HttpRequest, opened_id: UUID) -> HttpResponse:
    """Close an opened snapshot before its time."""
    row = found(request, opened_id)
    if request.method != "POST":
        return redirect("files", row.pk)
    if row.server != home.server_id():
        messages.error(request, "Another server has it open: it closes it by itself.")
    elif opening.close(row, f"{visitor.person(request)} closed it."):
        messages.success(request, f"{row.image} is closed.")
    return redirect("run", row.run_id)
