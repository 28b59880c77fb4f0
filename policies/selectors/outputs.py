"""What scripts printed: the end of it, any part of it, and where a word stands in it.

Only the pieces that are asked for are read. While complete runs, its output is not in the rows yet: it comes from
the journal's folder in memory, and only on the server that runs it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from django.conf import settings
from django.db.models import F, Q, QuerySet

from n2wbackup.lib import ansi, home
from policies.domain.runs import printed
from policies.domain.runs.printed import Line, Piece
from policies.domain.runs.sequence import State
from policies.models import OutputChunk, PhaseResult, Run
from scripts_admin.domain.phases import Phase
from scripts_admin.guard import tail

LINES = 1000  # on a page
HITS = 200  # of a search
END_LINES = 20  # of each output on the page of its run
END_BYTES = printed.PIECE_BYTES


class Output(NamedTuple):
    """One stream of one attempt of a script. `live`: it is still being written. `instance`: where it ran, else here."""

    run: Run
    phase: str
    attempt: int
    stream: str
    result: PhaseResult | None = None
    live: bool = False
    instance: str = ""

    @property
    def size(self) -> int:
        """Return how many bytes are in the rows."""
        return getattr(self.result, f"{self.stream}_bytes") if self.result else 0


class Found(NamedTuple):
    """Lines with a word, oldest first. `more`: there are others behind the last."""

    lines: tuple[Line, ...]
    more: bool


def of(run: Run, phase: str, attempt: int, stream: str) -> Output | None:
    """Return the output; None if the run has, and will have, no such attempt."""
    result = PhaseResult.objects.filter(run=run, phase=phase, attempt=attempt).first()
    if result is None and (attempt != 1 or run.ended_at is not None):
        return None
    return Output(run, phase, attempt, stream, result, result is None and _is_live(run, phase))


def on_instance(run: Run, instance: str, phase: str, attempt: int, stream: str) -> Output | None:
    """Return the output of a script on an instance; None if the run has, and will have, no such attempt."""
    rows = PhaseResult.remote.filter(run=run, target__instance_id=instance)
    result = rows.filter(phase=phase, attempt=attempt).first()
    if result is None:
        has_scripts = run.targets.filter(instance_id=instance).exclude(remote={}).exists()
        if attempt != 1 or run.ended_at is not None or not has_scripts:
            return None
    return Output(run, phase, attempt, stream, result, instance=instance)


def _is_live(run: Run, phase: str) -> bool:
    return (
        phase == Phase.COMPLETE
        and run.state == State.COMPLETING
        and run.complete_started_at is not None
        and run.server == home.server_id()
    )


def from_byte(output: Output, start: int) -> Piece:
    """Return what was printed from this byte on."""
    if output.live:
        return printed.cut_from(_live(output), start)
    rows = _rows(output)
    first = rows.filter(start__lte=start).order_by("-start").values_list("start", flat=True).first()
    return printed.cut_from(_joined(rows.filter(start__gte=first or 0)), start)


def end(output: Output, count: int = LINES) -> Piece:
    """Return the last lines."""
    if output.live:
        return printed.last_lines(printed.whole_lines(_live(output)), count)
    found = list[Piece]()
    breaks = 0
    for row in _rows(output).order_by("-start").iterator(chunk_size=1):
        found.insert(0, _piece(row))
        breaks += found[0].data.count(b"\n")
        if breaks > count:
            break
    return printed.last_lines(printed.joined(found), count)


def from_line(output: Output, number: int, count: int = LINES) -> Piece:
    """Return lines from this one on."""
    if output.live:
        return printed.from_line(printed.whole_lines(_live(output)), number, count)
    rows = _rows(output)
    # The line begins behind the last break before it, so in the last piece that has fewer before it.
    before = rows.filter(line__lt=number - 1).order_by("-start")
    first = before.values_list("start", flat=True).first() or 0
    found = list[Piece]()
    for row in rows.filter(start__gte=first).order_by("start").iterator(chunk_size=1):
        found.append(_piece(row))
        if found[-1].line + found[-1].data.count(b"\n") >= number - 1 + count:
            break
    return printed.from_line(printed.joined(found), number, count)


def ends(results: Iterable[PhaseResult]) -> Mapping[tuple[int, str], str]:
    """Return the last lines of what these results printed, by result and stream; makes one query."""
    last = Q(stream="stdout", start__gte=F("result__stdout_bytes") - END_BYTES) | Q(
        stream="stderr", start__gte=F("result__stderr_bytes") - END_BYTES
    )
    found: dict[tuple[int, str], list[Piece]] = {}
    keys = [result.pk for result in results if result.stdout_bytes or result.stderr_bytes]
    rows = OutputChunk.objects.filter(last, result__in=keys) if keys else ()
    for row in rows:
        found.setdefault((row.result_id, row.stream), []).append(_piece(row))
    return {key: _last(printed.joined(pieces)) for key, pieces in found.items()}


def printing(run: Run) -> Mapping[str, str]:
    """Return the last lines of what complete has printed so far, by stream; nothing unless it runs here, now."""
    if not _is_live(run, Phase.COMPLETE):
        return {}
    live = (
        Output(run, Phase.COMPLETE, 1, stream, live=True) for stream in OutputChunk.Stream.values
    )
    found = {each.stream: _last(end(each, END_LINES)) for each in live}
    return {stream: text for stream, text in found.items() if text}


def _last(found: Piece) -> str:
    end = printed.last_lines(found, END_LINES)
    return end.data[-END_BYTES:].decode("utf-8", "replace")


def search(output: Output, word: str) -> Found:
    """Return the lines that have the word, in capitals or not; colours do not count."""
    hits = list[Line]()
    wanted = word.casefold()
    for line in printed.lines(from_byte(output, 0)):
        plain = ansi.plain(line.text)
        if wanted in plain.casefold():
            if len(hits) == HITS:
                return Found(tuple(hits), more=True)
            hits.append(Line(line.number, plain))
    return Found(tuple(hits), more=False)


def texts(results: Iterable[PhaseResult]) -> Mapping[tuple[int, str], str]:
    """Return all that these results printed, by result and stream; makes one query."""
    found: dict[tuple[int, str], bytes] = {}
    keys = [result.pk for result in results if result.stdout_bytes or result.stderr_bytes]
    rows = OutputChunk.objects.filter(result__in=keys) if keys else OutputChunk.objects.none()
    for row in rows.order_by("result", "stream", "start"):
        key = (row.result_id, row.stream)
        found[key] = found.get(key, b"") + bytes(row.data)
    return {key: data.decode("utf-8", "replace") for key, data in found.items()}


def _rows(output: Output) -> QuerySet[OutputChunk]:
    of_stream = Q(result=output.result, stream=output.stream)
    return OutputChunk.objects.filter(of_stream).order_by("start")


def _joined(rows: Iterable[OutputChunk]) -> Piece:
    return printed.joined(_pieces(rows))


def _pieces(rows: Iterable[OutputChunk]) -> Iterator[Piece]:
    return (_piece(row) for row in rows)


def _piece(row: OutputChunk) -> Piece:
    return Piece(row.start, row.line, bytes(row.data))


def _live(output: Output) -> Piece:
    folder = home.runtime_of(settings.N2W_HOME) / str(output.run.pk)
    return Piece(0, 0, tail.read(folder, output.phase, output.stream))
