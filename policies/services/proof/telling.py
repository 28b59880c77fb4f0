"""Telling AWS what a proof found, as a tag of the snapshot; repeated from the row until it is done."""

import logging
from uuid import UUID

from n2wbackup.lib import each
from policies.adapters import session
from policies.domain.errors import BackupError, NotFoundError
from policies.domain.proofs import ENDS
from policies.models import Proof
from policies.services.window import credentials

log = logging.getLogger(__name__)
TAG = "n2wbackup:proof"
_AT_ONCE = 50


def tag(proof_id: UUID) -> bool:
    """Write the tag if it is due; False if AWS refused, and it is tried again."""
    rows = Proof.objects.select_related("run__account__owner", "account__owner")
    proof = rows.filter(pk=proof_id, tag_due=True, state__in=ENDS).first()
    if proof is None:
        return True
    account = proof.reader
    try:
        if account is not None:
            cloud = session.cloud(credentials.of(account))
            cloud.tag(proof.region, [proof.snapshot_id], {TAG: value(proof)})
    except NotFoundError:
        log.info("snapshot %s is gone; the tag of its proof is not written", proof.snapshot_id)
    except BackupError as error:
        log.warning("the tag of proof %s is tried again: %s", proof.pk, error)
        return False
    Proof.objects.filter(pk=proof.pk).update(tag_due=False)
    return True


def tick() -> int:
    """Write the tags that are due."""
    due = Proof.objects.filter(tag_due=True).order_by("?").values_list("pk", flat=True)
    return each.apart(list(due[:_AT_ONCE]), tag, "the tag of proof %s could not be written")


def value(proof: Proof) -> str:
    """Return "passed level 3 2026-11-29T12:00Z"."""
    when = f"{proof.ended_at:%Y-%m-%dT%H:%MZ}" if proof.ended_at else ""
    return f"{proof.state} level {proof.level} {when}".strip()
