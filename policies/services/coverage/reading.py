"""What AWS says of instances and volumes, as the inventory keeps it."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from n2wbackup.lib import storable
from policies.models import InventoryItem
from policies.ports import Instance, Volume

# These are about to go, with the volumes that go with them.
_LEAVING = frozenset({"shutting-down", "terminated"})


@dataclass(frozen=True, slots=True)
class Seen:
    """One instance or volume; the names are those of the columns."""

    kind: str
    resource_id: str
    name: str
    tags: Mapping[str, str]
    type: str
    size_gib: int
    state: str
    instance_id: str = ""
    is_boot: bool = False

    @property
    def digest(self) -> str:
        """Return what tells this from every other state of the same resource."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode(errors="replace")).hexdigest()

    def columns(self) -> dict[str, Any]:
        return asdict(self) | {"digest": self.digest}


def seen(instances: Iterable[Instance], volumes: Iterable[Volume]) -> Iterator[Seen]:
    """Yield each instance that will stay, then each volume: so they are numbered, and an instance is listed first."""
    here = [one for one in instances if one.state not in _LEAVING]
    boots = {one.root_volume_id: one.instance_id for one in here if one.root_volume_id}
    made = [_volume(one, boots) for one in volumes]
    sizes = {one.resource_id: one.size_gib for one in made}
    for instance in here:
        yield _instance(instance, sum(sizes.get(each, 0) for each in instance.volume_ids))
    yield from made


def _instance(found: Instance, size_gib: int) -> Seen:
    tags = tags_of(found.answer)
    return Seen(
        kind=InventoryItem.Kind.INSTANCE.value,
        resource_id=found.instance_id,
        name=tags.get("Name", ""),
        tags=tags,
        type=str(found.answer.get("InstanceType", ""))[:32],
        size_gib=size_gib,
        state=found.state[:32],
    )


def _volume(found: Volume, boots: Mapping[str, str]) -> Seen:
    tags = tags_of(found.answer)
    size = found.answer.get("Size", 0)
    return Seen(
        kind=InventoryItem.Kind.VOLUME.value,
        resource_id=found.volume_id,
        name=tags.get("Name", ""),
        tags=tags,
        type=found.volume_type[:32],
        size_gib=size if isinstance(size, int) and size > 0 else 0,
        state=str(found.answer.get("State", ""))[:32],
        instance_id=found.instance_id,
        is_boot=boots.get(found.volume_id, "") == found.instance_id != "",
    )


def tags_of(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags by key; a byte that no database takes is replaced."""
    pairs = (each for each in answer.get("Tags") or () if "Key" in each)
    return {storable.text(str(t["Key"])): storable.text(str(t.get("Value", ""))) for t in pairs}
