"""What the scripts that are carried to instances freeze there, as far as their texts tell."""

from collections import defaultdict

from policies.models import Account, PolicyTarget
from scripts_admin.domain import remote
from scripts_admin.domain.lint import on_disks
from scripts_admin.domain.lint.script import Script
from scripts_admin.domain.phases import Phase
from scripts_admin.domain.shown import shown
from scripts_admin.folders import storage
from scripts_admin.models import Folder

Freezes = dict[str, list[tuple[str, str]]]


def of(account: Account, region: str) -> Freezes:
    """Return, by instance, each file and the mount point that it freezes; a folder that cannot be read has none."""
    rows = PolicyTarget.objects.filter(policy__account=account, region=region)
    rows = rows.exclude(instance_id="").select_related("policy__folder")
    listed: dict[int, list[str]] = {}
    read: dict[tuple[int, str], list[str]] = {}
    found: Freezes = defaultdict(list)
    for target in rows:
        folder = target.policy.folder
        if folder.pk not in listed:
            listed[folder.pk] = _names(folder)
        policy, instance = target.policy.name, target.instance_id
        for name in remote.candidates(listed[folder.pk], Phase.BEFORE, policy, instance):
            key = (folder.pk, name)
            if key not in read:
                read[key] = _frozen(folder, name)
            found[target.instance_id] += [(shown(name), path) for path in read[key]]
    return dict(found)


def _names(folder: Folder) -> list[str]:
    try:
        return sorted(storage.listed(folder))
    except OSError:
        return []


def _frozen(folder: Folder, name: str) -> list[str]:
    try:
        data = storage.content(folder, storage.path(folder) / name).data
    except OSError:
        return []
    return on_disks.frozen_by(Script(name, data.decode("utf-8", "replace")))
