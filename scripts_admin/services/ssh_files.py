"""When the files of SSH are written: soon after a change, before each run, and now and then for what is missing."""

import logging
import os
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction

from n2wbackup.lib import clock
from scripts_admin import linux_accounts
from scripts_admin.hosts import files, own_account
from scripts_admin.linux_accounts import AccountError
from scripts_admin.models import Folder, FormerFolder, SshHost, SshKey

log = logging.getLogger(__name__)
FAILURES = (OSError, AccountError)
_AGAIN_SECONDS = 600
_FORGET_SECONDS = 3600
_written: dict[int, tuple[object, float]] = {}  # of each folder: its rows, and when they were tried


def soon(folder: Folder) -> None:
    """Write the files after the commit, if this process may; else a worker does at its next turn."""
    transaction.on_commit(partial(_try, folder))


def forget_soon(folder: Folder) -> None:
    """Remove the files of a folder that is being deleted, after the commit."""
    transaction.on_commit(partial(_forget, folder))


def tick() -> None:
    """Write what has changed, or may be missing, and remove the files of owners who are gone."""
    if not _may_write():
        return
    wanted = {
        *SshKey.objects.values_list("folder", flat=True),
        *SshHost.objects.values_list("folder", flat=True),
    }
    for folder in Folder.objects.filter(pk__in=wanted | set(_written)):
        rows, now = _rows(folder), clock.now().timestamp()
        known, at = _written.get(folder.pk, (None, 0.0))
        if known != rows or not 0 <= now - at < _AGAIN_SECONDS:
            _try(folder)
    for name in files.strangers(set(Folder.objects.values_list("name", flat=True))):
        files.forget(name)
    _forget_former()


def _may_write() -> bool:
    """Tell whether this process is the one that the home belongs to; the pages may be another account's."""
    try:
        return Path(settings.N2W_HOME).stat().st_uid == os.geteuid()
    except OSError:
        return False


def _try(folder: Folder) -> None:
    if not _may_write():
        return
    _written[folder.pk] = (_rows(folder), clock.now().timestamp())
    try:
        files.follow(folder)
    except FAILURES as error:
        log.warning("the SSH files of %s could not be written: %s", folder, error)


def _rows(folder: Folder) -> object:
    keys = SshKey.objects.filter(folder=folder).order_by("pk").values_list("pk", "slot")
    hosts = SshHost.objects.filter(folder=folder).order_by("pk").values_list("pk", "key")
    return list(keys), list(hosts)


def _forget(folder: Folder) -> None:
    if not _may_write():
        return
    try:
        files.forget(folder.name)
        if files.has_own_account(folder):
            _forget_own(folder.name)
    except FAILURES as error:
        log.warning("the SSH files of the deleted user %s are still there: %s", folder, error)


def _forget_own(name: str) -> None:
    """Remove our part from the `.ssh` of a deleted user's account, if there still is one."""
    if linux_accounts.uid_of(name) is None or linux_accounts.is_system(linux_accounts.uid_of(name)):
        return
    account = linux_accounts.named(name)
    own_account.forget(account.home, linux_accounts.to_become(account))


def _forget_former() -> None:
    """Do so for who was deleted lately by a page that may not write: their accounts may still be there."""
    now = clock.now()
    for former in FormerFolder.objects.exclude(linux_uid=None):
        is_late = 0 <= (now - former.deleted_at).total_seconds() < _FORGET_SECONDS
        if is_late and linux_accounts.uid_of(former.name) == former.linux_uid:
            _forget_account_of(former)


def _forget_account_of(former: FormerFolder) -> None:
    if settings.N2W_RUN_SCRIPTS_AS != "owner" or Folder.objects.filter(name=former.name).exists():
        return
    try:
        _forget_own(former.name)
    except FAILURES as error:
        log.warning("the SSH files of the deleted user %s are still there: %s", former, error)
