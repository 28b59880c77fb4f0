"""What scripts printed, entered after the thaw."""

from collections.abc import Iterable, Mapping

from n2wbackup.lib import compiled, storable
from policies.domain.runs import printed
from policies.models import OutputChunk, PhaseResult


def measure(result: PhaseResult, *, stdout: str = "", stderr: str = "") -> None:
    """Note how much the script of a result printed that is not entered yet."""
    sizes = (len(storable.text(each).encode()) for each in (stdout, stderr))
    result.stdout_bytes, result.stderr_bytes = sizes


def enter(printed_by: Iterable[tuple[PhaseResult, Mapping[str, str]]]) -> None:
    """Enter what the scripts of new results printed, by `stdout` and `stderr`; they are measured already."""
    compiled.enter(
        [
            OutputChunk(result=result, stream=stream, **piece._asdict())
            for result, said in printed_by
            for stream, text in said.items()
            for piece in printed.pieces(storable.text(text).encode())
        ]
    )


def keep(result: PhaseResult, *, stdout: str = "", stderr: str = "") -> None:
    """Enter what the script of this result printed; what is entered already stays."""
    said = {
        OutputChunk.Stream.STDOUT: storable.text(stdout).encode(),
        OutputChunk.Stream.STDERR: storable.text(stderr).encode(),
    }
    if not any(said.values()):
        return
    OutputChunk.objects.bulk_create(
        [
            OutputChunk(result=result, stream=stream, **piece._asdict())
            for stream, data in said.items()
            for piece in printed.pieces(data)
        ],
        ignore_conflicts=True,
    )
    result.stdout_bytes, result.stderr_bytes = map(len, said.values())
    result.save(update_fields=["stdout_bytes", "stderr_bytes"])
