"""A folder's SSH keys: made here or brought, two valid at a time, retired for ever. Only public halves leave."""

from django.db import IntegrityError, transaction

from n2wbackup.lib import clock
from scripts_admin.domain.audit import Action, Change, Kind
from scripts_admin.hosts import keypairs
from scripts_admin.hosts.keypairs import KeyRefusedError, Pair
from scripts_admin.models import Folder, SshKey, User
from scripts_admin.models.ssh import SLOTS
from scripts_admin.services import audit, ssh_files
from scripts_admin.services.audit import Subject


def make(folder: Folder, *, by: User | None) -> SshKey:
    """Make an ed25519 key; KeyRefusedError if two are valid already."""
    return _keep(folder, keypairs.make(), by, is_made_here=True)


def bring(folder: Folder, text: str, passphrase: str = "", *, by: User | None) -> SshKey:
    """Keep a key that somebody has; KeyRefusedError if it cannot be read, is too weak, or there is no room."""
    return _keep(folder, keypairs.read(text, passphrase), by, is_made_here=False)


@transaction.atomic
def retire(key: SshKey, *, by: User | None) -> None:
    """Destroy the private half. The row stays, so that a line on a host can be recognised."""
    changed = SshKey.objects.filter(pk=key.pk, slot__isnull=False).update(
        slot=None, private="", retired_at=clock.now()
    )
    if changed:
        _record(Action.RETIRED, key, by)
        ssh_files.soon(key.folder)


@transaction.atomic
def remove(key: SshKey, *, by: User | None) -> None:
    """Delete a retired key's row; KeyRefusedError if the key is still valid."""
    if SshKey.objects.filter(pk=key.pk, slot__isnull=False).exists():
        raise KeyRefusedError("This key is still in use: retire it first.")
    _record(Action.REMOVED, key, by)
    SshKey.objects.filter(pk=key.pk).delete()


def _keep(folder: Folder, pair: Pair, by: User | None, *, is_made_here: bool) -> SshKey:
    key = SshKey(
        folder=folder,
        comment=f"n2wbackup-{folder.name}",
        public=str(pair.public),
        private=pair.private,
        is_made_here=is_made_here,
        made_at=clock.now(),
        made_by=_name(by),
    )
    known = SshKey.objects.filter(folder=folder, public=key.public).first()
    if known is not None:
        raise KeyRefusedError(
            f"The key {key.fingerprint} is here already{'' if known.is_valid else ', and was retired'}."
        )
    for _ in SLOTS:
        key.slot = _free_slot(folder)
        try:
            with transaction.atomic():
                key.save(force_insert=True)
                _record(Action.CREATED, key, by)
                ssh_files.soon(folder)
        except IntegrityError:  # somebody was faster
            continue
        return key
    raise _full()


def _free_slot(folder: Folder) -> int:
    taken = set(SshKey.objects.filter(folder=folder).values_list("slot", flat=True))
    free = [slot for slot in SLOTS if slot not in taken]
    if not free:
        raise _full()
    return free[0]


def _full() -> KeyRefusedError:
    return KeyRefusedError(
        "Two keys are valid already: once the hosts have the new one, retire the old one. Then add another."
    )


def _record(action: Action, key: SshKey, by: User | None) -> None:
    changes = [Change("fingerprint", "", key.fingerprint), Change("origin", "", _origin(key))]
    about = Subject(Kind.SSH_KEY, f"{key.folder}", str(key.pk), key.folder.owner_id)
    audit.record(action, about, changes, person=by)


def _origin(key: SshKey) -> str:
    return "made here" if key.is_made_here else "imported"


def _name(by: User | None) -> str:
    return by.username if by is not None else audit.edge().name
