"""Window leases: two windows never overlap on one instance or volume, whichever policy or owner."""

from collections.abc import Sequence

from django.db import IntegrityError, transaction

from n2wbackup.lib import clock
from policies.models import Run, WindowLease


def take(run: Run, resources: Sequence[str]) -> Run | None:
    """Take all the leases or none; return None when taken, else the run that holds one of them.

    In one transaction and in sorted order, so that two runs cannot wait for each other.
    """
    now = clock.now()
    rows = [WindowLease(resource=name, run=run, taken_at=now) for name in sorted(set(resources))]
    try:
        with transaction.atomic():
            WindowLease.objects.filter(run=run).delete()
            WindowLease.objects.bulk_create(rows)
    except IntegrityError:
        held = WindowLease.objects.select_related("run").filter(resource__in=resources)
        lease = held.exclude(run=run).first()
        return lease.run if lease else run
    return None
