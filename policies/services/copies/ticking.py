"""The turns of copies: each step is short, durable, and may be taken by any server."""

from n2wbackup.lib import each
from policies.services.copies import asking, following, planning


def tick(round_number: int) -> None:
    """Plan, ask and follow."""
    each.turn(planning.tick, asking.tick, lambda: following.tick(round_number))
