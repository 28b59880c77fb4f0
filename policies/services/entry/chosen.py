"""The places that the inventory looks at: each chosen region of each account has one row."""

from django.db import transaction

from n2wbackup.lib import clock
from policies.models import Account, InventoryItem, InventoryPlace

_AT_ONCE = 100


def follow(account: Account) -> None:
    """Give the account the places of its chosen regions, due now; what was seen in others is forgotten.

    Decisions to leave something out stay: the region may be chosen again.
    """
    wanted, now = account.chosen_regions, clock.now()
    with transaction.atomic():
        InventoryPlace.objects.filter(account=account).exclude(region__in=wanted).delete()
        InventoryItem.objects.filter(account=account).exclude(region__in=wanted).delete()
        InventoryPlace.objects.bulk_create(
            [InventoryPlace(account=account, region=each, next_at=now) for each in wanted],
            ignore_conflicts=True,
        )
        InventoryPlace.objects.filter(account=account).update(next_at=now)


def complete() -> None:
    """Give places to accounts without any: they are from before there was an inventory."""
    rows = Account.objects.filter(places=None).only("region", "regions").order_by("pk")
    for account in rows[:_AT_ONCE]:
        follow(account)
