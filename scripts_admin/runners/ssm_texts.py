"""The texts of the commands that go through SSM: A, B, and the one of a late visit."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Literal

from scripts_admin.runners import far

MOST_BYTES = 60_000  # SSM takes documents of 64 KiB, and the rest of the request counts
SHOW_BYTES = 2_900  # of each end of four outputs: SSM keeps 24,000 characters
_B_SECONDS = 30.0  # what B waits for after beyond both scripts' own time


def arming(order: far.Order) -> str:
    """Return the text of A: it arms the wrapper, runs before, and ends when before has ended.

    far.UnfitError if a script cannot run there, or SSM does not take the text. An order of many instances names none
    of them: the wrapper asks the agent for N2W_INSTANCE_ID, so that all get the same text.
    """
    return _fit(far.program(order, "ssm-a", text=_short()))


def thawing(
    order: far.Order,
    argument: Literal["0", "1"],
    show_bytes: int = SHOW_BYTES,
    absent: Literal["after", "tombstone"] = "tombstone",
) -> str:
    """Return the text of B: it thaws with this argument.

    `absent`: where it finds nothing of A, A has not been there, so a tombstone is left; or the instance was started
    anew meanwhile, so after runs with 0. It ends when after has ended once, and shows so many first and last bytes of
    each output; repetitions of after are the wrapper's own. SHOW_BYTES of each fit into what SSM keeps.
    """
    wait = order.before_timeout + order.after_timeout + _B_SECONDS
    second = far.Second(
        argument=argument, by="worker", absent=absent, wait=wait, show_bytes=show_bytes
    )
    return _fit(far.program(order, "ssm-b", second, text=_short()))


def visiting(order: far.Order) -> str:
    """Return the text of a late visit: it tells what became of the run, and thaws with 0 what nobody has thawed."""
    wait = order.after_timeout + _B_SECONDS
    second = far.Second(absent="after", wait=wait, show_bytes=SHOW_BYTES)
    return _fit(far.program(order, "ssm-b", second, text=_short()))


def asking(order: far.Order, wait: float) -> str:
    """Return the text of a question that thaws nothing while a wrapper lives: it waits so many seconds for its end."""
    second = far.Second(urge=False, absent="tombstone", wait=wait, show_bytes=SHOW_BYTES)
    return _fit(far.program(order, "ssm-b", second, text=_short()))


@dataclass(frozen=True, slots=True)
class Texts:
    """The commands of one instance: A, B for either argument, and B where A may never have been."""

    arming: str
    thawing_0: str
    thawing_1: str
    unbegun: str

    def thawing(self, argument: str, *, has_begun: bool) -> str:
        """Return B. `has_begun`: before may have run, so that after must, even if nothing is left of A."""
        if argument == "1":
            return self.thawing_1
        return self.thawing_0 if has_begun else self.unbegun


def texts(order: far.Order) -> Texts:
    """Return the commands of an order; far.UnfitError if it cannot be carried out over SSM."""
    with_0, with_1 = thawing(order, "0", absent="after"), thawing(order, "1", absent="after")
    # Where after runs alone, no late before has to be kept from freezing.
    unbegun = thawing(order, "0") if order.before else with_0
    return Texts(arming(order), with_0, with_1, unbegun)


def _fit(program: bytes) -> str:
    """Return the program as SSM takes it: packed where it is too long as it is."""
    text = far.document(program)
    if _length(text) > MOST_BYTES:
        text = far.document(program, packed=True)
    number = _length(text)
    if number > MOST_BYTES:
        over = (number - MOST_BYTES) * 3 // 4 // 1024 + 1
        raise far.UnfitError(
            f"the scripts are {over} KiB too long for SSM, which takes {MOST_BYTES // 1024} KiB with all that runs "
            "them, packed: shorten them, put them on the instance and enter their paths, or use SSH."
        )
    return text


def _length(text: str) -> int:
    return len(json.dumps(text))


@cache
def _short() -> bytes:
    """Return the wrapper without its indentation, as each byte counts here."""
    return b"".join(line.lstrip() for line in far.wrapper().splitlines(keepends=True))
