"""A courier within the test's process: the same letters to the same receivers, without a start of Python each.

What a courier may not do, and that it is ended where it takes too long, is the contract suite's business.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from policies.adapters import post

PROCESS = post._courier


def within(job: dict[str, Any], _seconds: float) -> Iterable[dict[str, object]]:
    """Do what the job says, in threads, as the program does."""
    from policies.adapters import courier  # noqa: PLC0415  # reads a library that few tests need

    courier.listen()
    checked: list[dict[str, object]] = [
        {"problem": courier._heard(lambda url=url: courier._plugin(url) and "", url)}
        for url in job.get("check", [])
    ]

    def carry(letter: dict[str, Any]) -> dict[str, object]:
        send = courier._notify if letter["title"] else courier._ping
        problem = courier._heard(lambda: send(letter), letter["url"])
        return {"id": letter["id"], "problem": problem}

    letters = job.get("letters", [])
    with ThreadPoolExecutor(max_workers=max(len(letters), 1)) as pool:
        return [*checked, *pool.map(carry, letters)]
