"""What an account has to choose targets from: asked live from AWS, and never needed to save a policy.

The answers are kept for a minute in the process's memory, as a search asks again for each word.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache

from policies.adapters import session
from policies.domain.errors import BackupError
from policies.models import Account
from policies.ports import Cloud, Instance, Volume
from policies.services.window import credentials

KEPT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Disk:
    """A volume of an instance; `size_gib` is 0 if AWS did not say."""

    volume_id: str
    device: str
    size_gib: int
    kind: str
    name: str
    is_boot: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """An instance, or a volume by itself; `attached_to` names a volume's instance."""

    resource_id: str
    region: str
    name: str
    state: str
    tags: tuple[tuple[str, str], ...] = ()
    disks: tuple[Disk, ...] = ()
    attached_to: str = ""

    @property
    def is_instance(self) -> bool:
        return self.resource_id.startswith("i-")

    @property
    def size_gib(self) -> int:
        return sum(disk.size_gib for disk in self.disks)

    def fits(self, words: Iterable[str]) -> bool:
        """Tell whether every word is part of an id, a name, a tag (key=value), a state or a region."""
        tags = (f"{key}={value}" for key, value in self.tags)
        disks = (f"{disk.volume_id} {disk.name} {disk.device}" for disk in self.disks)
        own = (self.resource_id, self.name, self.region, self.state, self.attached_to)
        text = " ".join((*own, *tags, *disks)).lower()
        return all(word.lower() in text for word in words)


@dataclass(frozen=True, slots=True)
class Shelf:
    """The choices by name and id; `problems` are sentences about what could not be asked."""

    choices: tuple[Choice, ...]
    problems: tuple[str, ...] = ()


def look(account: Account, regions: Iterable[str], *, fresh: bool = False) -> Shelf:
    """Return what the account has in these regions. It raises nothing: what AWS refuses is a problem."""
    choices: list[Choice] = []
    problems: list[str] = []
    for region in dict.fromkeys(regions):
        key = _key(account, region)
        found = None if fresh else cache.get(key)
        if found is None:
            found = _ask(account, region)
            if not found.problems:
                cache.set(key, found, KEPT_SECONDS)
        choices += found.choices
        problems += found.problems
    choices.sort(key=lambda each: (not each.is_instance, each.name.lower(), each.resource_id))
    return Shelf(tuple(choices), tuple(dict.fromkeys(problems)))


def _key(account: Account, region: str) -> str:
    way_in = f"{account.auth} {account.access_key_id} {account.role_arn} {region}"
    return f"picking-{account.pk}-{hashlib.sha256(way_in.encode()).hexdigest()}"


def _ask(account: Account, region: str) -> Shelf:
    problems: list[str] = []
    instances: list[Instance] = []
    volumes: list[Volume] = []
    try:
        credentials.refuse_withdrawn(account)
        cloud: Cloud = session.cloud(credentials.of(account))
        instances = cloud.all_instances(region)
        volumes = cloud.all_volumes(region)
    except BackupError as error:
        problems.append(str(error))
    return Shelf(tuple(_choices(instances, volumes)), tuple(problems))


def _choices(instances: Iterable[Instance], volumes: Iterable[Volume]) -> Iterable[Choice]:
    by_id = {volume.volume_id: volume for volume in volumes}
    for each in instances:
        devices = _devices(each.answer)
        disks = (_disk(v, by_id.get(v), devices[v], each.root_volume_id) for v in each.volume_ids)
        yield Choice(
            each.instance_id,
            each.region,
            _name(each.answer),
            each.state,
            _tags(each.answer),
            tuple(disks),
        )
    for volume in by_id.values():
        yield Choice(
            volume.volume_id,
            volume.region,
            _name(volume.answer),
            str(volume.answer.get("State", "")),
            _tags(volume.answer),
            (_disk(volume.volume_id, volume, "", ""),),
            volume.instance_id,
        )


def _disk(volume_id: str, volume: Volume | None, device: str, root: str) -> Disk:
    answer = volume.answer if volume else {}
    return Disk(
        volume_id,
        device,
        int(answer.get("Size", 0) or 0),
        volume.volume_type if volume else "",
        _name(answer),
        volume_id == root,
    )


def _devices(answer: Mapping[str, Any]) -> Mapping[str, str]:
    found: defaultdict[str, str] = defaultdict(str)
    for each in answer.get("BlockDeviceMappings", []):
        found[each.get("Ebs", {}).get("VolumeId", "")] = each.get("DeviceName", "")
    return found


def _tags(answer: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    rows = answer.get("Tags", [])
    return tuple(sorted((str(tag.get("Key", "")), str(tag.get("Value", ""))) for tag in rows))


def _name(answer: Mapping[str, Any]) -> str:
    return dict(_tags(answer)).get("Name", "")
