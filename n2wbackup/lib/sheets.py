"""Rows as CSV, one after the other: nothing is kept in memory, however many there are."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from django.http import HttpRequest, StreamingHttpResponse

from n2wbackup.lib import terminal

# A spreadsheet takes a text that begins so for a formula, and runs it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
Cell = str | int | float | datetime | None


class _Line:
    """Takes what the writer writes, and hands it back."""

    def write(self, text: str) -> str:
        return text


def lines(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines; times are ISO 8601, texts are harmless for a spreadsheet and a terminal."""
    writer = csv.writer(_Line())
    yield writer.writerow(head)
    for row in rows:
        yield writer.writerow([_cell(value) for value in row])


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool | int | float):
        return value
    text = terminal.line(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text


def answer(
    request: HttpRequest, name: str, head: Sequence[str], rows: Iterable[Sequence[object]]
) -> StreamingHttpResponse:
    """Return a download of that name. HEAD reads no row."""
    body = lines(head, rows) if request.method != "HEAD" else iter(())
    answer = StreamingHttpResponse(body, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
