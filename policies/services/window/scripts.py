"""A run's scripts: find them, check them, copy them to the spool, and describe them for the guard."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from policies.models import Policy, Run
from policies.services.window import sealing
from scripts_admin import linux_accounts, permissions
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.folders import storage
from scripts_admin.folders.storage import Found
from scripts_admin.guard import linux, spool
from scripts_admin.guard.spool import RunAs, ScriptCommand
from scripts_admin.linux_accounts import AccountError, LinuxAccount
from scripts_admin.models import Folder


@dataclass(slots=True)
class Scripts:
    """The script of each phase, or the outcome of a phase that has no script to run."""

    folder: Folder
    account: LinuxAccount | None = None
    identity: RunAs | None = None
    found: dict[Phase, Path] = field(default_factory=dict)
    not_run: dict[Phase, Outcome] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def leave_out(self, phase: Phase, outcome: Outcome, problem: str = "") -> None:
        """Do not run the phase; it gets this outcome."""
        self.found.pop(phase, None)
        self.not_run[phase] = outcome
        if problem:
            self.problems.append(problem)


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
    except AccountError as error:
        return _none(scripts, str(error))
    for phase in Phase:
        _take(scripts, storage.find(policy.folder, phase, policy.name, scripts.identity))
    if scripts.not_run.get(Phase.AFTER, Outcome.MISSING) != Outcome.MISSING:
        problem = "before is not run, because after could not thaw what before freezes."
        if Phase.BEFORE in scripts.found:
            scripts.leave_out(Phase.BEFORE, Outcome.NOT_RUN, problem)
    if run.is_test:
        _only_tested(scripts, run)
    return scripts


def _none(scripts: Scripts, problem: str) -> Scripts:
    scripts.problems.append(problem)
    for phase in Phase:
        scripts.leave_out(phase, Outcome.CRASHED)
    return scripts


def _take(scripts: Scripts, found: Found) -> None:
    if found.path is not None and not found.problem:
        scripts.found[found.phase] = found.path
    else:
        scripts.leave_out(found.phase, found.outcome or Outcome.CRASHED, found.problem)


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
    commands: dict[Phase, ScriptCommand] = {}
    for phase, path in scripts.found.items():
        paths = [str(path)]
        if phase != Phase.BEFORE:
            copy = folder / phase
            copy.unlink(missing_ok=True)
            storage.copy(scripts.folder, path, copy, scripts.identity)
            paths.append(str(copy))
        commands[phase] = ScriptCommand(phase, tuple(paths), float(timeouts[phase]))
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


def _environment(run: Run, policy: Policy, account: LinuxAccount | None) -> Mapping[str, str]:
    """Return the whole environment of the scripts; it contains nothing of the server's environment."""
    instances = policy.targets.exclude(instance_id="").values_list("instance_id", flat=True)
    found = {
        "PATH": storage.SCRIPT_PATH,
        "LANG": "C.UTF-8",
        "N2W_RUN_ID": str(run.pk),
        "N2W_POLICY": run.policy_name,
        "N2W_OWNER": run.owner_name,
        "N2W_INSTANCE_IDS": " ".join(instances),
        "N2W_SCHEDULED_FOR": run.scheduled_for.isoformat() if run.scheduled_for else "",
    }
    if account is not None:
        found |= {"HOME": account.home, "USER": account.identity.name}
    return found
