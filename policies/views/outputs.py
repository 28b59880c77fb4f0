"""The pages of what scripts printed. A page that a person may not see is answered as if it did not exist."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from n2wbackup.lib import ansi
from policies.domain.runs import printed
from policies.domain.runs.printed import Piece
from policies.models import OutputChunk, Run
from policies.selectors import outputs
from policies.selectors.outputs import Output
from policies.views import visitor
from scripts_admin.domain.phases import Phase

LONGEST_WORD = 200
_DIGITS = 15  # of a byte's or a line's number


@require_safe
@login_required
def output(
    request: HttpRequest, run_id: UUID, phase: str, attempt: int, stream: str
) -> HttpResponse:
    """Show the end of an output, the lines from `?line=`, or where `?q=` stands; `?from=` gives its bytes as text."""
    return _answer(request, _found(request, run_id, "", phase, attempt, stream))


@require_safe
@login_required
def output_there(
    request: HttpRequest, run_id: UUID, instance: str, phase: str, attempt: int, stream: str
) -> HttpResponse:
    """Show the output of a script on an instance, like that of one on the server."""
    return _answer(request, _found(request, run_id, instance, phase, attempt, stream))


def _answer(request: HttpRequest, found: Output) -> HttpResponse:
    start = _number(request, "from")
    if start is None:
        return render(request, "policies/output.html", _page(request, found))
    if visitor.wants_a_part(request):
        return render(request, "policies/output/more.html", _more(found, start))
    return _raw(found, start)


def _found(
    request: HttpRequest, run_id: UUID, instance: str, phase: str, attempt: int, stream: str
) -> Output:
    """Return the output; 404 if there is none, or not for this person. An empty `instance` is the server."""
    run = Run.objects.visible_to(visitor.person(request)).filter(pk=run_id).first()
    if run is None or phase not in list(Phase) or stream not in OutputChunk.Stream.values:
        raise Http404
    if instance:
        found = outputs.on_instance(run, instance, phase, attempt, stream)
    else:
        found = outputs.of(run, phase, attempt, stream)
    if found is None:
        raise Http404
    return found


def _raw(found: Output, start: int) -> HttpResponse:
    answer = HttpResponse(
        outputs.from_byte(found, start).data, content_type="text/plain; charset=utf-8"
    )
    where = f"{found.instance}-" if found.instance else ""  # it is in the rows, so it is an id
    name = f"{found.run.pk}-{where}{found.phase}-{found.attempt}-{found.stream}.txt"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Cache-Control"] = "no-store"
    return answer


def _page(request: HttpRequest, found: Output) -> dict[str, Any]:
    word = request.GET.get("q", "").strip()[:LONGEST_WORD]
    number = _number(request, "line")
    piece = outputs.end(found) if number is None else outputs.from_line(found, number)
    other = next(each for each in OutputChunk.Stream.values if each != found.stream)
    return {
        **_more(found, piece.start, piece),
        "begins_at": piece.line + 1,
        "is_end": number is None,
        "other": other,
        "other_address": _address(found, other),
        "word": word,
        "hits": outputs.search(found, word) if word else None,
        "lines_at_most": outputs.LINES,
    }


def _more(found: Output, start: int, piece: Piece | None = None) -> dict[str, Any]:
    """Return the lines from a byte on; while the script may print more, only whole lines."""
    if piece is None:
        piece = outputs.from_byte(found, start)
        piece = printed.whole_lines(piece) if found.live else piece
    look, lines = ansi.USUAL, []
    for line in printed.lines(piece):
        parts, look = ansi.parts(line.text, look)
        lines.append((line.number, parts))
    return {
        "run": found.run,
        "output": found,
        "lines": lines,
        "next": piece.end,
        "is_growing": found.live or (found.result is None and found.run.ended_at is None),
        "address": _address(found, found.stream),
    }


def _address(found: Output, stream: str) -> str:
    rest = [found.phase, found.attempt, stream]
    if found.instance:
        return reverse("output_there", args=[found.run.pk, found.instance, *rest])
    return reverse("output", args=[found.run.pk, *rest])


def _number(request: HttpRequest, name: str) -> int | None:
    """Return the number of the query; None if there is none, or no such number."""
    given = request.GET.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) <= _DIGITS else None
