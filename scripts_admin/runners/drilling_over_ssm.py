"""A drill of one instance over SSM: two scripts that do nothing are armed, and the command that thaws is never sent.

Nobody is connected there, so the deadline alone thaws an instance when this server dies. A later command only asks
who began the thaw. Nothing is frozen, and nothing is left on the instance but its tombstone.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from scripts_admin.runners import drilling, far, ssm, ssm_texts
from scripts_admin.runners.drilling import Drilled, NotDrilledError
from scripts_admin.runners.far import Before, Look, Over, Refused, Word
from scripts_admin.runners.ssm import Client

DEADLINE_SECONDS = 5.0
STARTS_SECONDS = 60.0  # SSM gives a command 30 s to start, and takes some to tell
_SILENT = f"SSM has not told within {STARTS_SECONDS:g} s that its agent ran a command: see the page SSM of the account"
W = TypeVar("W", bound=Word)


def order(nonce: str) -> far.Order:
    """Return an order whose scripts do nothing, and which thaws by itself soon."""
    return replace(drilling.order(nonce), max_freeze=DEADLINE_SECONDS)


def drill(of: far.Order, client: Client, instance: str) -> Drilled:
    """Drill one instance, in less than three minutes.

    Raises NotDrilledError if nothing could be armed; NotSentError and AnswerLostError if SSM did not take a command.
    """
    armed = ssm.visit(client, of.nonce, instance, ssm_texts.arming(of), STARTS_SECONDS)
    refused = _first(armed, Refused)
    if refused is not None:
        raise NotDrilledError(refused.why)
    if _first(armed, Before) is None:
        raise NotDrilledError(_SILENT)
    time.sleep(DEADLINE_SECONDS)
    asking = ssm_texts.asking(of, drilling.BACK_SECONDS)
    heard = ssm.visit(client, of.nonce, instance, asking, STARTS_SECONDS + drilling.BACK_SECONDS)
    look, over = _first(heard, Look), _first(heard, Over)
    return Drilled(over.by if over else "", look.state if look else "")


def _first(words: Sequence[Word], kind: type[W]) -> W | None:
    return next((each for each in words if isinstance(each, kind)), None)
