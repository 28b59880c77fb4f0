"""What AWS says of an instance and its volumes is kept with each run: a restore needs it.

User data may contain secrets, so only their hash is kept. AWS is asked for them once for each
description, because an instance must be stopped to change them, and its launch time tells.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from n2wbackup.lib import clock, compiled
from policies.domain.errors import BackupError
from policies.models import Description
from policies.ports import Cloud, Instance, Volume

_A_DAY = timedelta(days=1)


def enter(
    cloud: Cloud, region: str, instance: Instance | None, volumes: Mapping[str, Volume]
) -> Description | None:
    """Return the row with what AWS said of a target; None if it said nothing. Never refuses a backup."""
    resource = instance.instance_id if instance else min(volumes, default="")
    if not resource:
        return None
    document: dict[str, Any] = {
        "instance": dict(instance.answer) if instance else None,
        "volumes": {key: dict(volumes[key].answer) for key in sorted(volumes)},
    }
    digest = _digest(document)
    now = clock.now()
    known = _known.first(digest)
    if known is not None:
        if known.last_seen_at < now - _A_DAY:
            Description.objects.filter(pk=digest).update(last_seen_at=now)
        return known
    document |= _user_data(cloud, region, instance)
    columns = {"resource_id": resource, "document": document, "last_seen_at": now}
    return Description.objects.get_or_create(digest=digest, defaults=columns)[0]


@compiled.Reading
def _known(digest: str) -> QuerySet[Description]:
    return Description.objects.filter(pk=digest).defer("document")


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _user_data(cloud: Cloud, region: str, instance: Instance | None) -> dict[str, str | None]:
    if instance is None:
        return {"user_data_sha256": None, "user_data_problem": ""}
    try:
        found = cloud.user_data_hash(region, instance.instance_id)
    except BackupError as error:
        return {"user_data_sha256": None, "user_data_problem": str(error)}
    return {"user_data_sha256": found, "user_data_problem": ""}
