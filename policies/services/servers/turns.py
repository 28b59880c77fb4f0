"""Turns: of the ticks of several beats, one in each span of time is taken; the others would only cost AWS calls."""

from datetime import timedelta

from django.db.models import Q

from n2wbackup.lib import clock
from policies.models import Turn


def take(name: str, seconds: float) -> bool:
    """Take the tick unless it was taken in the last seconds; of several processes, one takes it."""
    now = clock.now()
    # A turn of the future was taken before the clock was set back.
    free = Q(taken_at__lte=now - timedelta(seconds=seconds)) | Q(taken_at__gt=now + clock.SKEW)
    if Turn.objects.filter(free, pk=name).update(taken_at=now):
        return True
    _, is_new = Turn.objects.get_or_create(pk=name, defaults={"taken_at": now})
    return is_new


def give_back(name: str) -> None:
    """Let the next one take the turn at once; whoever dies before that keeps it for its seconds."""
    Turn.objects.filter(pk=name).delete()
