"""Which tests may be run once more because they failed beside others: tools/again.sh."""

from collections.abc import Collection

import pytest

# The mark of a test whose failure is a fault, though it came but once: what it looks for must never happen.
ONCE = "once"


def refusal(failed: Collection[str], items: Collection[pytest.Item]) -> str:
    """Return why these tests, which failed, are not run again; "" if they may be.

    `failed`: their names, as the first run kept them; one that is no test is a file that could not be read.
    """
    found = {item.nodeid for item in items}
    if found != set(failed):
        return f"not found as tests: {', '.join(sorted(set(failed) ^ found))}"
    judged = sorted(item.nodeid for item in items if item.get_closest_marker(ONCE))
    return f"one failure is enough: {', '.join(judged)}" if judged else ""


def check(session: pytest.Session) -> None:
    """Let a second run begin with exactly what failed, or not at all."""
    cache = session.config.cache
    assert cache is not None
    reason = refusal(cache.get("cache/lastfailed", {}), session.items)
    if reason:
        raise pytest.UsageError(f"--once-more: {reason}")
