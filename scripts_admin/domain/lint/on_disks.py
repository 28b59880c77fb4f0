"""Rules about freezing a disk that is needed for the thaw."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from scripts_admin.domain.lint import calls
from scripts_admin.domain.lint.calls import Call
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script

_NEEDED_OVER_THERE = frozenset(
    f"/{name}" for name in ("", "var", "var/log", "tmp", "usr", "etc", "run", "home", "root")
)
# On an instance no login is needed for the thaw, but one is when the session is lost, and SSM's agent writes there.
NEEDED_ON_INSTANCE = frozenset(("/", "/var", "/var/log"))
_PATHS_AT_MOST = 10


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What this machine has: mount points, and what the server and its scripts write to, as (path, words)."""

    mounts: Sequence[str] = ("/",)
    needed: Sequence[tuple[str, str]] = ()

    def mount_of(self, path: str) -> str:
        """Return the mount point that a path lies on."""
        place = PurePosixPath(path)
        on_the_way = (mount for mount in self.mounts if place.is_relative_to(mount))
        return max(on_the_way, key=len, default="/")


NOWHERE = Surroundings()


def frozen(call: Call) -> str:
    """Return the absolute path that a call freezes, if the text tells it."""
    if call.name not in ("fsfreeze", "xfs_freeze"):
        return ""
    given = calls.options(call.words)
    if not given.has("-f", "--freeze") or not given.rest or not given.rest[0].is_known:
        return ""
    path = given.rest[0].text
    return str(PurePosixPath(path)) if path.startswith("/") else ""


def frozen_by(script: Script) -> list[str]:
    """Return the paths that a script freezes where it runs, as far as its text tells."""
    paths = [frozen(call) for call in script.calls if not call.there]
    return list(dict.fromkeys(path for path in paths if path))


def own_disk(script: Script, around: Surroundings) -> Iterator[Remark]:
    for call in script.calls:
        path = frozen(call)
        if path:
            if call.there:
                text = _over_there(path)
            else:
                text = _on_instance(path) if script.is_on_instance else _here(path, around)
            if text:
                said = f"{script.name} freezes {path[:100]}, {text}"
                yield Remark(Level.ERROR, "frozen-disk", said, line=call.line)


def _over_there(path: str) -> str:
    if path not in _NEEDED_OVER_THERE:
        return ""
    return (
        "and over there a login writes to it, so nobody gets in any more to thaw it: move the data to a file system "
        "of its own and freeze that."
    )


def _on_instance(path: str) -> str:
    if path not in NEEDED_ON_INSTANCE:
        return ""
    return (
        "and on the instance a login and SSM's agent write to it, so after may never start there: move the data to a "
        "file system of its own and freeze that."
    )


def _here(path: str, around: Surroundings) -> str:
    everything = (("/", "the system itself"),) if path == "/" else ()
    for place, what in (*around.needed, *everything):
        if around.mount_of(place) == around.mount_of(path):
            return (
                f"the disk of {what} ({place}), so the thaw itself may wait for it: move the data to a file system of "
                "its own, or use the recipe for the server's own disk (docs/recipes/fsfreeze)."
            )
    return ""


def output_on_it(script: Script, _: Surroundings) -> Iterator[Remark]:
    paths: dict[bool, list[str]] = {}
    for call in script.calls:
        path = frozen(call)
        if path:
            paths.setdefault(call.there, [])[_PATHS_AT_MOST - 1 :] = [path]
            continue
        for redirect in call.command.redirects if paths else ():
            target = redirect.target.text
            on_it = [each for each in paths.get(call.there, []) if _lies_in(target, each)]
            if on_it and ">" in redirect.sign:
                text = (
                    f"{script.name} writes {target[:100]} after it has frozen {on_it[0][:100]}, and waits for ever: "
                    "write to another file system, or before the freeze."
                )
                yield Remark(Level.ERROR, "frozen-output", text, line=call.line)


def _lies_in(target: str, path: str) -> bool:
    return path != "/" and target.startswith("/") and PurePosixPath(target).is_relative_to(path)


RULES = (own_disk, output_on_it)
