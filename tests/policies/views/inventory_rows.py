"""What the coverage pages show, for the permission matrix."""

from django.db import models

from n2wbackup.lib import clock
from policies.models import Account, EnrolRule, InventoryItem, InventoryPlace, LeftOut, Policy


def made(lab: Account, policy: Policy) -> dict[str, models.Model]:
    """Make what the coverage pages show."""
    place = {"account": lab, "region": "us-east-1"}
    InventoryPlace.objects.create(**place, next_at=clock.now())
    return {
        "inventoryitem": InventoryItem.objects.create(
            **place, kind="volume", resource_id="vol-01234567", first_seen_at=clock.now()
        ),
        "leftout": LeftOut.objects.create(
            **place, resource_id="vol-89abcdef", reason="r", by="alice", at=clock.now()
        ),
        "enrolrule": EnrolRule.objects.create(
            account=lab, policy=policy, what="volumes", tag="backup"
        ),
    }
