"""A run's scripts: find them, check them, copy them to the spool, and describe them for the guard."""

import errno
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from n2wbackup.lib import terminal
from n2wbackup.lib.encrypted import DecryptionError
from policies.domain.runs.verdict import Consistency, Required
from policies.models import PhaseResult, Policy, Run
from policies.services import runs
from policies.services.window import approved, ran, sealing
from scripts_admin import linux_accounts, permissions
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.domain.shown import shown
from scripts_admin.folders import account, reading, storage
from scripts_admin.folders.account import Account
from scripts_admin.folders.storage import Found
from scripts_admin.guard import linux, spool
from scripts_admin.guard.spool import RunAs, ScriptCommand
from scripts_admin.hosts import files
from scripts_admin.linux_accounts import AccountError, LinuxAccount
from scripts_admin.models import Folder, ScriptVersion
from scripts_admin.services import folders, versions

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Scripts:
    """The script of each phase, or the outcome of a phase that has no script to run."""

    folder: Folder
    account: LinuxAccount | None = None
    identity: RunAs | None = None
    found: dict[Phase, Path] = field(default_factory=dict)
    not_run: dict[Phase, Outcome] = field(default_factory=dict)
    problems: dict[Phase, str] = field(default_factory=dict)
    waits: dict[Phase, str] = field(default_factory=dict)  # what waits for a second pair of eyes
    texts: dict[Phase, Mapping[str, Any]] = field(default_factory=dict)  # as `ran` notes them
    has_before: bool = False  # a file fits before, even if it cannot run; or nobody could look

    def leave_out(self, phase: Phase, outcome: Outcome, problem: str = "") -> None:
        """Do not run the phase; it gets this outcome, and the run this problem."""
        self.found.pop(phase, None)
        self.not_run[phase] = outcome
        if problem:
            self.problems[phase] = terminal.line(problem)  # it may quote what stands in the script

    def freeze_nothing(self, problem: str) -> None:
        """Leave out before and after, as far as there are scripts for them."""
        for phase in (Phase.BEFORE, Phase.AFTER):
            if phase in self.found:
                self.leave_out(phase, Outcome.NOT_RUN, problem)

    def without_after(self) -> None:
        """Leave out before if after exists but cannot run: nothing could thaw what before freezes."""
        lost = self.not_run.get(Phase.AFTER, Outcome.MISSING) != Outcome.MISSING
        if lost and Phase.BEFORE in self.found:
            self.leave_out(Phase.BEFORE, Outcome.NOT_RUN, _BEFORE_NOT_RUN)


_TRIES = 5
_BEFORE_IS_GONE = (
    "The before script of {policy} is gone, and the last run had one: bring it back (is the disk of the scripts "
    "mounted?), or let the policy require only crash-consistent snapshots."
)
_BEFORE_NOT_RUN = "before is not run, because after could not thaw what before freezes."


def resolve(run: Run, policy: Policy) -> Scripts:
    """Find the scripts of a run and check whether they can run.

    If after exists but cannot run, before does not run either: nothing could thaw what it freezes.
    """
    scripts = Scripts(policy.folder)
    if not policy.scripts_enabled:
        for phase in Phase:
            scripts.leave_out(phase, Outcome.MISSING)
        return scripts
    if not permissions.may_run(policy.owner, policy.folder):
        problem = f"{policy.owner} is not allowed to use the script folder {policy.folder}: no script is run."
        return _none(scripts, problem)
    distrust = storage.distrust()
    if distrust:
        return _none(scripts, distrust)
    try:
        scripts.account = linux_accounts.script_account(policy.folder)
        scripts.identity = linux_accounts.to_become(scripts.account)
        _make_ready(scripts, run.around)
        _write_ssh(policy.folder, run.around)
    except AccountError as error:
        return _none(scripts, str(error))
    except OSError as error:
        place = shown(str(storage.path(policy.folder)))
        problem = (
            f"The script folder {place} could not be closed to others ({error.strerror}), so no script is run: "
            "correct its owner and its permissions."
        )
        return _none(scripts, problem)
    environment = _environment(run, policy, scripts.account)
    with account.of(scripts.identity) as asked:
        _look(run, policy, scripts, asked, environment)
    scripts.has_before = scripts.not_run.get(Phase.BEFORE) != Outcome.MISSING
    if not scripts.has_before and _had_before(policy):
        scripts.has_before = True
        scripts.leave_out(Phase.BEFORE, Outcome.CRASHED, _BEFORE_IS_GONE.format(policy=policy.name))
    scripts.without_after()
    if run.is_test:
        _only_tested(scripts, run)
    return scripts


def _look(
    run: Run, policy: Policy, scripts: Scripts, asked: Account, environment: Mapping[str, str]
) -> None:
    if approved.is_asked_for(run, policy):
        approved.take(run, policy, scripts, asked, environment)
        return
    there: list[str] | None = None
    with suppress(OSError):  # then each phase says what is wrong
        there = storage.listed(policy.folder)
    for phase in Phase:
        _take(scripts, _find(policy, phase, scripts.identity, asked, environment, there))


def _had_before(policy: Policy) -> bool:
    """Tell whether a before script got lost: the policy itself has not said what it requires, but a run had one.

    Scripts on instances require as much: with them, the last run must have had one on the server.
    """
    required = (
        policy.success_requires == Required.AUTO and policy.requires == Consistency.APPLICATION
    )
    if not required or not any(target.remote for target in policy.targets.all()):
        return required
    last = PhaseResult.objects.filter(run=policy.last_run_id, phase=Phase.BEFORE, attempt=1)
    return last.exclude(outcome=Outcome.MISSING).exists()


def _make_ready(scripts: Scripts, around: Mapping[str, bool]) -> None:
    folder, identity = scripts.folder, scripts.identity
    group = linux_accounts.own_group(folder, identity) if identity else None
    folders.ready(folder, group, has_former=around.get("has_former", True))


def _write_ssh(folder: Folder, around: Mapping[str, bool]) -> None:
    """Write the SSH files anew where they are not as the rows say; AccountError if that fails."""
    try:
        files.follow(folder, has_keys=around.get("has_ssh_keys", True))
    except (OSError, DecryptionError) as error:
        raise AccountError(
            f"The SSH keys and hosts of {folder} could not be written ({error}), so no script is run: correct that."
        ) from error


def _none(scripts: Scripts, problem: str) -> Scripts:
    for phase in Phase:
        scripts.leave_out(phase, Outcome.CRASHED, problem)
    scripts.has_before = True
    return scripts


def _find(
    policy: Policy,
    phase: Phase,
    identity: RunAs | None,
    asked: Account,
    environment: Mapping[str, str],
    there: Sequence[str] | None,
) -> Found:
    """Look for a phase's script. Whatever one entry of a folder brings about, it concerns its own phase alone."""
    try:
        return storage.find(
            policy.folder,
            phase,
            policy.name,
            identity,
            asked=asked,
            environment=environment,
            there=there,
        )
    except Exception as error:
        log.exception("the scripts of %s could not be looked at", policy)
        problem = (
            f"The script of {phase} could not be looked at ({type(error).__name__}), so it is not run: look for "
            "the error in the server's log."
        )
        return Found(phase, None, problem=problem)


def refused(policy: Policy, problem: str) -> Scripts:
    """Return what a run gets whose scripts must not be run for this reason."""
    return _none(Scripts(policy.folder), problem)


def _take(scripts: Scripts, found: Found) -> None:
    if found.path is not None and not found.problem:
        scripts.found[found.phase] = found.path
    else:
        scripts.leave_out(found.phase, found.outcome or Outcome.CRASHED, found.problem)


def tell(run: Run, scripts: Scripts) -> None:
    """Enter what is wrong with the scripts: as events, and for the reason of the run. Nothing may be frozen yet."""
    for said in scripts.waits.values():
        runs.record(run, said)
    scripts.waits.clear()  # once is enough
    known, run.script_problems = run.script_problems, dict(scripts.problems)
    if run.script_problems == known:
        return
    for said in dict.fromkeys(scripts.problems.values()):
        if said not in known.values():
            runs.record(run, said)
    Run.objects.filter(pk=run.pk).update(script_problems=run.script_problems)


def _only_tested(scripts: Scripts, run: Run) -> None:
    """Leave out the phases that the test did not ask for; after always follows before."""
    if not run.test_phase:
        return
    wanted = {Phase.BEFORE, Phase.AFTER} if run.test_phase == Phase.BEFORE else {run.test_phase}
    for phase in set(Phase) - wanted:
        scripts.leave_out(phase, Outcome.NOT_RUN)
    if run.test_phase == Phase.AFTER and run.test_argument == "1":
        scripts.not_run[Phase.BEFORE] = Outcome.MISSING  # after's argument follows from it


def spool_record(run: Run, policy: Policy, scripts: Scripts, folder: Path) -> spool.Record:
    """Copy after and complete to the run's spool folder, and return the record to write there."""
    timeouts = {
        Phase.BEFORE: policy.before_timeout_seconds,
        Phase.AFTER: policy.after_timeout_seconds,
        Phase.COMPLETE: policy.complete_timeout_seconds,
    }
    copies = _copied(scripts, folder)
    tell(run, scripts)
    ran.note(run, {phase: text for phase, text in scripts.texts.items() if phase in scripts.found})
    commands: dict[Phase, ScriptCommand] = {}
    for phase, path in scripts.found.items():
        paths = (str(path), *map(str, copies.get(phase, ())))
        commands[phase] = ScriptCommand(phase, paths, float(timeouts[phase]))
    return spool.Record(
        run=str(run.pk),
        boot=linux.boot_id(),
        folder=str(storage.path(scripts.folder)),
        environment=_environment(run, policy, scripts.account),
        max_freeze_seconds=float(policy.max_freeze_seconds),
        thaw_retry_seconds=policy.thaw_retry_minutes * 60.0,
        before=commands.get(Phase.BEFORE),
        after=commands.get(Phase.AFTER),
        complete=commands.get(Phase.COMPLETE),
        not_run=scripts.not_run,
        identity=scripts.identity,
        collect_output=policy.collect_output,
        masks=sealing.seal(run.account),
    )


def _copied(scripts: Scripts, folder: Path) -> Mapping[Phase, Sequence[Path]]:
    """Keep each script's text, and copy after and complete to the spool folder.

    A phase whose file was replaced meanwhile is left out.
    """
    copies: dict[Phase, Sequence[Path]] = {}
    names = [path.name for phase, path in scripts.found.items() if phase not in scripts.texts]
    known = {one.name: one for one in versions.newest(scripts.folder, names)} if names else {}
    for phase, path in list(scripts.found.items()):
        if (
            phase in scripts.texts
        ):  # it is in the spool: not in the folder, where the guard expects the first path
            copies[phase] = (path,)
            continue
        copy = folder / phase if phase != Phase.BEFORE else None
        try:
            scripts.texts[phase] = _kept(scripts, path, copy, known.get(path.name))
        except OSError as error:
            why = f"{shown(path.name)} could not be copied ({error.strerror}), so it is not run: look at the file."
            scripts.leave_out(phase, Outcome.CRASHED, why)
        else:
            copies[phase] = () if copy is None else (copy,)
    scripts.without_after()
    return copies


def _kept(
    scripts: Scripts, path: Path, copy: Path | None, known: ScriptVersion | None
) -> Mapping[str, Any]:
    """Keep the text of a script and make the copy of it; read it again if it was changed between the two."""
    for _ in range(_TRIES):
        seen = reading.see(scripts.folder, path)
        if copy is None:
            return ran.prepared(scripts.folder, seen, known)
        copy.unlink(missing_ok=True)
        if storage.copy(scripts.folder, path, copy, scripts.identity) == seen.sha256:
            return ran.prepared(scripts.folder, seen, known)
    raise OSError(errno.EBUSY, "it is being changed all the time", str(path))


def _environment(run: Run, policy: Policy, account: LinuxAccount | None) -> Mapping[str, str]:
    """Return the whole environment of the scripts; it contains nothing of the server's environment."""
    found = {"PATH": files.path_of_scripts(policy.folder), "LANG": "C.UTF-8"} | words(run, policy)
    if account is not None:
        found |= {"HOME": account.home, "USER": account.identity.name}
    return found


def words(run: Run, policy: Policy) -> dict[str, str]:
    """Return what the environment of every script says of its run, wherever it runs."""
    instances = [each.instance_id for each in policy.targets.all() if each.instance_id]
    return {
        "N2W_RUN_ID": str(run.pk),
        "N2W_POLICY": run.policy_name,
        "N2W_OWNER": run.owner_name,
        "N2W_INSTANCE_IDS": " ".join(instances),
        "N2W_MARK": run.mark,
        "N2W_SCHEDULED_FOR": run.scheduled_for.isoformat() if run.scheduled_for else "",
    }
