"""Scripts of a folder with a second pair of eyes: what is approved is written into the spool, and runs from there.

So nobody can change it any more, and the folder need not be put back. The script has its own name, its account and
its folder as the current one. What lies in the folder is only compared, to tell what waits.
"""

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from n2wbackup.lib import home, trust
from policies.models import Policy, Run
from policies.services.window import ran
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.domain.shown import shown
from scripts_admin.folders import judging, storage
from scripts_admin.folders.account import Account, AccountLostError
from scripts_admin.guard import launching, spool
from scripts_admin.guard.access import Answer, Question
from scripts_admin.models import ScriptVersion
from scripts_admin.services import approvals, versions

if TYPE_CHECKING:
    from policies.services.window.scripts import Scripts

FOLDER = "approved"
_MOST_HELPERS = 1000
_MODE = 0o711  # script accounts pass through it to the copies


class _Handed:
    """The account to which the launcher hands a copy that it cannot reach by its path."""

    def __init__(self, asked: Account, copy: Path) -> None:
        self.name = asked.name
        self._asked, self._copy = asked, os.fsencode(copy)

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        others = iter(self._asked.ask([each for each in questions if each[0] != self._copy]))
        return [Answer(0) if path == self._copy else next(others) for path, _ in questions]


def is_asked_for(run: Run, policy: Policy) -> bool:
    """Tell whether only approved texts may run. A test runs what is in the folder: its reviewer wants to see it."""
    return policy.folder.needs_approval and not run.is_test


def take(
    run: Run, policy: Policy, scripts: "Scripts", asked: Account, environment: Mapping[str, str]
) -> None:
    """Write the approved script of each phase into the run's spool, and check whether it can run."""
    approvals.look(policy.folder)
    place = _place(run)
    for phase in Phase:
        found, waiting = approvals.of_phase(policy.folder, phase, policy.name)
        if waiting:
            scripts.waits[phase] = _waits(waiting, found)
        if len(found) == 1:
            _take_one(scripts, phase, found[0], place, asked, environment)
        elif found:
            names = ", ".join(shown(each.name) for each in found)
            problem = f"More than one approved file fits {phase} of {policy.name}, so none is run: {names}."
            scripts.leave_out(phase, Outcome.AMBIGUOUS, problem)
        elif any(not each.is_deleted for each in waiting):
            scripts.leave_out(phase, Outcome.CRASHED, _not_yet(waiting))
        else:
            scripts.leave_out(phase, Outcome.MISSING)
    _link_helpers(policy, place)


def _take_one(
    scripts: "Scripts",
    phase: Phase,
    version: ScriptVersion,
    place: Path,
    asked: Account,
    environment: Mapping[str, str],
) -> None:
    path = place / version.name
    judge = _Handed(asked, path) if launching.is_needed(scripts.identity) else asked
    try:
        _write(scripts, version, path)
        problem = judging.why_not(path, judge, environment)
    except AccountLostError:
        problem = (
            f"{shown(version.name)} could not be checked as {asked.name}: start the run again."
        )
    except OSError as error:
        problem = (
            f"The approved version of {shown(version.name)} is not there any more ({error.strerror}), so it is not "
            "run: restore it, or have the new one approved."
        )
    if problem:
        scripts.leave_out(phase, Outcome.CRASHED, problem)
        return
    scripts.found[phase] = path
    scripts.texts[phase] = ran.approved(version)


def _write(scripts: "Scripts", version: ScriptVersion, path: Path) -> None:
    """Write the approved text; what is no text is copied from the folder while it is still the same. Else OSError."""
    content = versions.content(version)
    if content is not None:
        storage.put(content, path, scripts.identity)
        return
    source = storage.path(scripts.folder) / version.name
    if storage.copy(scripts.folder, source, path, scripts.identity) != version.sha256:
        path.unlink()
        raise OSError(errno.ENOENT, "its bytes are not kept, and the file has been changed")


def _place(run: Run) -> Path:
    """Return an empty folder in the run's spool."""
    place = spool.create(home.spool(), str(run.pk)) / FOLDER
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    place.chmod(_MODE)
    with trust.folder(place):
        return place


def _link_helpers(policy: Policy, place: Path) -> None:
    """Let a script that looks for its helpers beside itself find those of the folder there."""
    home_of_scripts = storage.path(policy.folder)
    with suppress(OSError):
        for name in sorted(storage.listed(policy.folder))[:_MOST_HELPERS]:
            is_tenant = policy.folder.is_root and (home_of_scripts / name).is_dir()
            if not is_tenant and not name.startswith(".") and not os.path.lexists(place / name):
                (place / name).symlink_to(home_of_scripts / name)


def _waits(waiting: list[ScriptVersion], found: list[ScriptVersion]) -> str:
    said = ", ".join(
        f"{shown(each.name)} ({'deleted' if each.is_deleted else 'changed'} by {each.author_name})"
        for each in waiting
    )
    goes_on = "the approved version goes on running" if found else "nothing runs in its place"
    return f"{said} waits for a second pair of eyes: {goes_on}."


def _not_yet(waiting: list[ScriptVersion]) -> str:
    names = ", ".join(shown(each.name) for each in waiting)
    return (
        f"{names} is not run, because nobody has approved it yet: another person who may change the scripts of this "
        "folder has to."
    )
