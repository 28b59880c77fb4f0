"""Instances of which no description was kept, as with restore points that were adopted by their tags.

A tag has no room for a description. What the instance is today serves in its place, if it still exists.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from policies.domain.errors import BackupError, RefusedError
from policies.models import Account
from policies.selectors.sources import Piece
from policies.services.recovery import choosing


def document(account: Account | None, pieces: Sequence[Piece]) -> Mapping[str, Any]:
    """Return what AWS says of the instance and its volumes today, as a description has it.

    `account`: the one where the instance was. RefusedError, with what is possible instead, if it is not there.
    """
    target = pieces[0].target
    try:
        if account is None:
            raise RefusedError("its account was deleted")
        cloud = choosing.cloud(account)
        found = cloud.instances(target.region, [target.instance_id]).get(target.instance_id)
        if found is None:
            raise RefusedError(f"it no longer exists in {target.region}")
        volumes = cloud.volumes(target.region, found.volume_ids)
    except BackupError as error:
        raise _refusal(pieces, str(error).rstrip(".")) from error
    return {
        "instance": dict(found.answer),
        "volumes": {key: dict(of.answer) for key, of in volumes.items()},
        "user_data_sha256": None,
    }


def note(piece: Piece) -> str:
    """Return what a person should know who restores by such a document."""
    return (
        f"What {piece.target.instance_id} was like at the time of the backup is not known here: the new instance is "
        "made as that one is today."
    )


def _refusal(pieces: Sequence[Piece], why: str) -> RefusedError:
    instance = pieces[0].target.instance_id
    volumes = ", ".join(sorted(piece.volume_id for piece in pieces))
    return RefusedError(
        f"What {instance} was like is not known here, as its restore point has no description, and AWS cannot say it "
        f"now ({why}). What can be restored are its disks ({volumes}): restore each as a volume and attach them to a "
        "new instance, or take single files."
    )
