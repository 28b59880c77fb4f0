"""How much time and memory one connection to the pages may take, and all of them together.

A request is read whole before a thread works on it. So a connection that sends slowly, or nothing, costs
memory and never a thread; these numbers bound how much memory, and for how long.
"""

from enum import StrEnum

HEADER_BYTES = 32_768
BODY_BYTES = 4_194_304  # larger than any script or form
BODIES_BYTES = 67_108_864  # the bodies of all connections together
CHUNK_LINE_BYTES = 8_192  # a chunk's size line, or the trailer
CONNECTIONS = 1_000
THREADS = 8
# A download takes a thread for as long as it lasts, so most of them are left to pages.
DOWNLOADS, DOWNLOADS_OF_ONE = 3, 2
DOWNLOAD_SECONDS = 3_600.0

# The pages count as stuck if requests wait and none has been finished for this long.
STUCK_SECONDS = 120.0


class Step(StrEnum):
    """What a connection is doing."""

    IDLE = "idle"  # between two requests
    READING = "reading"  # a request, whole; or nothing has been sent yet
    WORKING = "working"  # a thread works on its request
    ANSWERING = "answering"  # the client has not taken the whole answer
    LEAVING = "leaving"  # refused: what the client still sends is thrown away


_SECONDS = {
    # Longer than the 60 s for which nginx keeps a connection to us: who closes first should not be us.
    Step.IDLE: 75.0,
    Step.READING: 10.0,
    Step.ANSWERING: 30.0,
    Step.LEAVING: 5.0,
}
# A client gets more time if it is at least this fast.
_BYTES_A_SECOND = 16_384


def seconds(step: Step, moved: int) -> float | None:
    """Return how long the step may take in all, with `moved` bytes moved so far; None if it has no limit."""
    if step == Step.WORKING:
        return None
    slow = step in {Step.READING, Step.ANSWERING}
    return _SECONDS[step] + (moved / _BYTES_A_SECOND if slow else 0)
