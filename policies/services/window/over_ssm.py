"""The instances of a run that scripts reach over SSM: their commands, what carries them, how they are asked later.

One nonce for all of them in a region: so those with the same scripts get the same text, and one call.
"""

import base64
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from n2wbackup.lib import encrypted
from policies.adapters import ssm_order
from policies.domain import agents
from policies.domain.errors import RefusedError
from policies.models import Account, Policy, Run, SsmInstance
from policies.services.window import credentials
from scripts_admin.domain.lint import on_disks
from scripts_admin.domain.lint.script import Script
from scripts_admin.domain.shown import shown
from scripts_admin.folders.carried import Carried
from scripts_admin.runners import ssm_texts
from scripts_admin.runners.far import Order
from scripts_admin.runners.late_ssm import Late
from scripts_admin.runners.ssm_texts import Texts
from scripts_admin.runners.starting import Started

# Credentials outlive a window by so much: B is sent until AWS takes it, and outputs are read after the thaw.
MARGIN_SECONDS = 120.0
VISIT_SECONDS = 60.0  # beyond after's own time: SSM gives a command 30 s to start, and the far side 30 s to tell


@dataclass(frozen=True, slots=True)
class Place:
    """Instances that one carrier reaches: of a region, by a document of SSM. The nonce is that of their orders."""

    region: str
    document: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Commands:
    """What is sent to one instance. Its own nonce is that of the place and its id."""

    place: Place
    order: Order
    texts: Texts


def commands(place: Place, order: Order) -> Commands:
    """Return the commands of an order that names no instance; far.UnfitError if SSM does not take it."""
    return Commands(place, order, ssm_texts.texts(order))


def refuse_frozen_agent(account: Account, region: str, instance: str, before: Carried) -> None:
    """Raise RefusedError if before freezes what the agent writes to, as far as text and last look tell.

    Its after could not be started. What the text does not tell is thawed at its deadline, and never `application`.
    """
    text = Script(before.script, before.content.decode("utf-8", "replace"))
    freezes = [(shown(before.script), path) for path in on_disks.frozen_by(text)]
    seen = SsmInstance.objects.filter(
        place__account=account, place__region=region, instance_id=instance
    )
    folders = seen.values_list("folders", flat=True).first() or ()
    for lack in agents.stopped([tuple(each) for each in folders], freezes):
        raise RefusedError(f"{lack.what} {lack.cure}")


def carriers(
    run: Run, policy: Policy, account: Account, wanted: Mapping[str, Commands]
) -> list[tuple[Started, list[str]]]:
    """Start what carries the commands, one for each place; the instances are then asked for by `answers`."""
    places: defaultdict[Place, dict[str, Texts]] = defaultdict(dict)
    for instance, each in wanted.items():
        places[each.place][instance] = each.texts
    given = credentials.of(account)
    seconds = policy.max_freeze_seconds + policy.after_timeout_seconds + MARGIN_SECONDS
    found = []
    for place, texts in places.items():
        around = str(run.pk), place.region, given, place.nonce
        document = ssm_order.document(*around, texts, seconds, place.document)
        found.append((Started(ssm_order.PROGRAM, document, list(texts)), list(texts)))
    return found


def visit(account: Account, each: Commands) -> Mapping[str, Any]:
    """Return what a later command needs, without the database; what is secret in it is sealed."""
    seconds = each.order.after_timeout + VISIT_SECONDS
    given = json.dumps(asdict(credentials.of(account)))
    late = Late(each.place.region, each.place.document, seconds, given)
    return {
        "nonce": each.place.nonce,
        "way": late.to_spool(encrypted.seal),
        "program": base64.b64encode(ssm_texts.visiting(each.order).encode()).decode(),
    }
