"""Scripts on instances, before anything is frozen: what is carried to which, and what cannot be."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from n2wbackup.lib import storable
from policies.models import Policy, Run, RunTarget
from policies.services.window import approved
from scripts_admin import permissions
from scripts_admin.domain import remote
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.domain.remote import Remote
from scripts_admin.domain.shown import shown
from scripts_admin.folders import carried, reading, storage
from scripts_admin.folders.carried import Carried, InFolder
from scripts_admin.models import Folder, ScriptVersion
from scripts_admin.services import approvals, versions

_NO_AFTER = "before is not run on {instance}, because after could not thaw what before freezes."
_WAITS = (
    "{names} is not run on {instance}, because nobody has approved it yet: another person who may change the "
    "scripts of this folder has to."
)
_UNSEEN = (
    "{path} lies on {instance}, where nobody can approve it, and the folder asks for a second pair of eyes: carry a "
    "file of the folder there."
)


def remotes(policy: Policy) -> Mapping[str, Remote]:
    """Return how scripts get to each instance of the policy that has some."""
    rows = sorted(policy.targets.all(), key=lambda each: each.pk)  # they may be read already
    return {each.instance_id: each.remote for each in rows if each.remote}


@dataclass(slots=True)
class OnInstance:
    """What is to run on one instance. A phase that is not in `carried` has its outcome in `not_run`."""

    remote: Remote
    carried: dict[Phase, Carried] = field(default_factory=dict)
    not_run: dict[Phase, Outcome] = field(default_factory=dict)
    problems: dict[Phase, str] = field(default_factory=dict)

    def leave_out(self, phase: Phase, outcome: Outcome, problem: str = "") -> None:
        self.carried.pop(phase, None)
        self.not_run[phase] = outcome
        if problem:
            self.problems[phase] = problem


def find(run: Run, policy: Policy) -> dict[str, OnInstance]:
    """Return what is to run on each instance, by its id; none if the scripts of the policy are switched off.

    As on the server: if after is there but cannot run, before is not run either. Of a folder with a second pair of
    eyes, only approved texts are carried; the scripts of the server, which are found first, have it looked at.
    """
    wanted = remotes(policy) if policy.scripts_enabled else {}
    found = {instance: OnInstance(how) for instance, how in wanted.items()}
    why = _why_none(policy) if found else ""
    for each in _carried(run, policy, wanted) if found else ():
        refused = replace(each, outcome=None, content=b"", problem=why) if why else each
        _take(found[each.instance], refused)
    for on in found.values():
        _only_tested(on, run)
    return found


def argument(run: Run) -> str:
    """Return what a test gives to after, which it runs alone; "" for every other run: there, before decides."""
    return (run.test_argument or "0") if run.is_test and run.test_phase == Phase.AFTER else ""


def _only_tested(on: OnInstance, run: Run) -> None:
    """Leave before out if the test asked for after alone."""
    if argument(run):
        on.leave_out(Phase.BEFORE, Outcome.NOT_RUN)
        on.problems.pop(Phase.BEFORE, None)


def _carried(run: Run, policy: Policy, wanted: Mapping[str, Remote]) -> list[Carried]:
    if not approved.is_asked_for(run, policy):
        return carried.find(InFolder(policy.folder), policy.name, wanted)
    source = _Approved(policy.folder)
    return [source.judged(each, policy) for each in carried.find(source, policy.name, wanted)]


def unseen(found: Carried) -> str:
    """Return why a path on the instance is not taken where a folder asks for a second pair of eyes."""
    return _UNSEEN.format(path=found.names[0], instance=found.instance)


class _Approved:
    """The approved texts of a folder with a second pair of eyes."""

    problem = ""

    def __init__(self, folder: Folder) -> None:
        self._versions = {
            name: version
            for name, version in approvals.approved(folder).items()
            if not version.is_deleted
        }
        self.names: Sequence[str] = tuple(self._versions)
        new = [each.version for each in approvals.pending(folder)]
        self._waiting = [version.name for version in new if not version.is_deleted]

    def read(self, name: str) -> tuple[bytes, str]:
        content = versions.content(self._versions[name])
        if content is None:
            why = f"The bytes of the approved {shown(name)} are not kept, so it cannot be carried"
            return b"", f"{why}: make it a text, and have that approved."
        return content, ""

    def judged(self, found: Carried, policy: Policy) -> Carried:
        """Refuse what nobody can have approved: a path on the instance, or a file that still waits."""
        if not found.is_file:
            return replace(found, content=b"", problem=unseen(found))
        if found.outcome != Outcome.MISSING:
            return found
        waits = remote.candidates(self._waiting, found.phase, policy.name, found.instance)
        if not waits:
            return found
        why = _WAITS.format(names=", ".join(map(shown, waits)), instance=found.instance)
        return replace(found, outcome=None, problem=why)


def _why_none(policy: Policy) -> str:
    if not permissions.may_run(policy.owner, policy.folder):
        return f"{policy.owner} is not allowed to use the script folder {policy.folder}: no script is run."
    return storage.distrust()


def _take(on: OnInstance, found: Carried) -> None:
    if found.can_run:
        on.carried[found.phase] = found
    else:
        on.leave_out(found.phase, found.outcome or Outcome.CRASHED, found.problem)
    is_lost = on.not_run.get(Phase.AFTER, Outcome.MISSING) != Outcome.MISSING
    if is_lost and Phase.BEFORE in on.carried:
        on.leave_out(Phase.BEFORE, Outcome.NOT_RUN, _NO_AFTER.format(instance=found.instance))


def note(target: RunTarget, on: OnInstance, folder: Folder) -> None:
    """Keep the texts that are carried to a target, and enter what will tell later which text ran there.

    What is carried is what runs, so there is never a doubt. Nothing may be frozen yet.
    """
    target.prepared_scripts = {str(p): _kept(folder, each) for p, each in on.carried.items()}
    target.script_problems = {str(phase): problem for phase, problem in on.problems.items()}
    fields = {name: getattr(target, name) for name in ("prepared_scripts", "script_problems")}
    RunTarget.objects.filter(pk=target.pk).update(**fields)


def _kept(folder: Folder, found: Carried) -> dict[str, Any]:
    return {
        "script": found.script,
        "sha256": found.sha256,
        "version": _version(folder, found) if found.is_file else None,
    }


def _version(folder: Folder, found: Carried) -> int | None:
    """Return the version with exactly this text: the file as it is now, or an earlier one of the same name."""
    with suppress(OSError):
        seen = reading.see(folder, storage.path(folder) / found.script)
        if seen.sha256 == found.sha256:
            return versions.keep_seen(folder, seen).pk
    known = ScriptVersion.objects.filter(folder=folder, name=found.script, sha256=found.sha256)
    return known.order_by("-pk").values_list("pk", flat=True).first()


def text(target: RunTarget, phase: Phase) -> dict[str, Any]:
    """Return the columns of a result that say which text ran on a target; empty where none was carried."""
    found = target.prepared_scripts.get(phase, {})
    kept = found.get("version")
    return {
        "script": storable.text(str(found.get("script", "")))[:_NAME_LETTERS],
        "script_sha256": str(found.get("sha256", "")),
        "script_version": ScriptVersion.objects.filter(pk=kept).first() if kept else None,
    }


_NAME_LETTERS = 255
