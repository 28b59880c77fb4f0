"""Rules about a file by what the folder says of it: its name, mode and owner."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from scripts_admin.domain import remote
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script

WORLD_WRITABLE = 0o002
OPEN_TO_OTHERS = 0o077
EXECUTABLE = 0o111
NOT_EXECUTABLE = "not-executable"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a folder, its name as a page may show it."""

    name: str
    mode: int
    uid: int
    is_private_key: bool = False


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose files may be run from a folder: the uids, and the account that they should belong to."""

    uids: Collection[int]
    name: str


def of_entry(entry: Entry, owners: Owners) -> Iterator[Remark]:
    """Yield what is wrong with a file's mode and owner."""
    name = entry.name
    if entry.mode & WORLD_WRITABLE:
        text = f"{name} can be changed by every account of this machine: run chmod o-w on it."
        yield Remark(Level.WARNING, "world-writable", text, name, files=(name,))
    if entry.uid not in owners.uids:
        text = (
            f"{name} belongs to the account with uid {entry.uid}, which is neither the folder's nor the server's, and "
            f"which can change it: run chown {owners.name} on it."
        )
        yield Remark(Level.WARNING, "wrong-owner", text, name, files=(name,))
    if entry.is_private_key and entry.mode & OPEN_TO_OTHERS:
        text = f"{name} is a private key that others may read, so ssh does not use it: run chmod 600 on it."
        yield Remark(Level.WARNING, "key-mode", text, name, files=(name,))


def not_executable(entry: Entry) -> Iterator[Remark]:
    """Yield it for a script that nobody may run; whether the account may is the kernel's word.

    On an instance its interpreter is called, so a file for instances needs no x.
    """
    is_for_here = Script(entry.name, "").phase and remote.named(entry.name) is None
    if is_for_here and not entry.mode & EXECUTABLE:
        text = f"{entry.name} is not executable for anybody, so it is not run: run chmod +x on it."
        yield Remark(Level.ERROR, NOT_EXECUTABLE, text, entry.name, files=(entry.name,))


def without_policy(
    names: Collection[str], policies: Collection[str], folder: str
) -> Iterator[Remark]:
    """Yield the scripts that no policy of the folder runs; `policies` are all of the folder."""
    known = {name.lower() for name in policies}
    for name in names:
        script = Script(name, "")
        policy = script.policy.partition("@")[0]
        if policy and policy.lower() not in known:
            text = (
                f"{name} is never run, because no policy with the folder {folder} is called {policy}: rename "
                "the file, or "
                "create the policy."
            )
            yield Remark(Level.WARNING, "no-policy", text, name, files=(name,), phase=script.phase)
