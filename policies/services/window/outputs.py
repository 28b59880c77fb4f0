"""What scripts printed, entered after the thaw."""

from n2wbackup.lib import storable
from policies.domain.runs import printed
from policies.models import OutputChunk, PhaseResult


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
