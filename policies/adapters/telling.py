"""What the SDK raises, told as our errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from policies.adapters import translate
from policies.adapters.translate import Call


@contextmanager
def told(call: Call) -> Iterator[None]:
    """Translate the SDK's exceptions inside the block to ours."""
    try:
        yield
    except translate.RAISED as error:
        raise translate.failure(error, call) from error
