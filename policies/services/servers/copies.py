"""Script folders on several servers: each says what it has, and compares before it freezes anything.

Any server may take any run, so all must have the same scripts: in a shared folder, or in copies. A server that
lacks a script would freeze nothing and thaw nothing, and one with an old script does what nobody wants any more.
"""

from collections.abc import Mapping
from datetime import timedelta

from django.db.models import QuerySet

from n2wbackup.lib import clock, home
from policies.models import Policy, Run, ScriptCopy, Server
from scripts_admin.domain import names
from scripts_admin.domain.phases import Phase
from scripts_admin.folders import storage
from scripts_admin.models import Folder

PATIENCE = timedelta(seconds=60)  # a copy needs its time, and so does the report on it
PAUSE = timedelta(seconds=10)


def enter() -> int:
    """Enter what this server has in each folder, and return how many changed; nothing while it is the only one."""
    mine = home.server_id()
    if not others().exists() or not Server.objects.filter(pk=mine).exists():
        return 0
    known = dict(ScriptCopy.objects.filter(server=mine).values_list("folder", "files"))
    changed = 0
    for folder in Folder.objects.all():
        files = storage.digests(folder)
        if known.get(folder.pk) != files:
            ScriptCopy.objects.update_or_create(
                server_id=mine, folder=folder, defaults={"files": files}
            )
            changed += 1
    return changed


def others() -> QuerySet[Server]:
    """Return the other servers, without those that were removed."""
    return Server.objects.filter(removed_at=None).exclude(pk=home.server_id())


def problem(policy: Policy) -> str:
    """Return a sentence if the policy's scripts here are not those of the other servers; else ""."""
    found = list(others()) if policy.scripts_enabled else []
    if not found:
        return ""
    own = _of(policy, storage.digests(policy.folder))
    copies = ScriptCopy.objects.filter(folder=policy.folder_id)
    files = dict(copies.values_list("server", "files"))
    for server in found:
        sentence = _compared(policy, own, server, files.get(server.pk))
        if sentence:
            return sentence
    return ""


def may_still_come(run: Run) -> bool:
    """Tell whether the run is young enough to wait for a copy that is under way."""
    return run.started_at is not None and abs(clock.now() - run.started_at) < PATIENCE


def _compared(
    policy: Policy, own: Mapping[str, str], server: Server, files: Mapping[str, str] | None
) -> str:
    is_alive = server.gone_at is None and server.stopped_at is None
    if files is None:
        if not is_alive:
            return ""
        return f"Server {server} has not reported yet which scripts it has in the folder {policy.folder}."
    theirs = _of(policy, files)
    # The last report of a server that is away may be old: it only shows which scripts there are.
    wrong = _differing(own, theirs) if is_alive else sorted(set(theirs) - set(own))
    if not wrong:
        return ""
    return (
        f"The scripts of {policy.label} differ between this server and server {server} ({', '.join(wrong)}), so "
        f"none is run: make the folder {policy.folder} the same on both."
    )


def _of(policy: Policy, files: Mapping[str, str]) -> dict[str, str]:
    """Return those of the files that are scripts of the policy."""
    return {
        name: digest
        for name, digest in files.items()
        if any(names.belongs(name, phase, policy.name) for phase in Phase)
    }


def _differing(own: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*own, *theirs} if own.get(name) != theirs.get(name))
