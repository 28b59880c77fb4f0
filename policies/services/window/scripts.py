"""A run's scripts: found, judged, copied into the spool, and described for the guard."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from policies.models import Policy, Run
from policies.services.window import sealing
from scripts_admin import linux_accounts, permissions
from scripts_admin.domain import names, outcomes
from scripts_admin.folders import storage
from scripts_admin.folders.storage import Found
from scripts_admin.guard import linux, spool
from scripts_admin.guard.spool import Command, Identity
from scripts_admin.linux_accounts import Account, AccountError
from scripts_admin.models import Folder


@dataclass(slots=True)
class Scripts:
    """What runs in each phase: a script that was found, or the outcome of there being none to run."""

    folder: Folder
    account: Account | None = None
    identity: Identity | None = None
    found: dict[str, Path] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def leave_out(self, phase: str, outcome: str, problem: str = "") -> None:
        """Have the phase not run, with this outcome."""
        self.found.pop(phase, None)
        self.not_run[phase] = outcome
        if problem:
            self.problems.append(problem)


def resolve(run: Run, policy: Policy) -> Scripts:
    """Find the scripts of a run and judge whether they can run.

    Where after exists but cannot run, before is not run either: nothing could thaw what it froze.
    """
    scripts = Scripts(policy.folder)
    if not policy.scripts_enabled:
        for phase in names.PHASES:
            scripts.leave_out(phase, outcomes.MISSING)
        return scripts
    if not permissions.may_run(policy.owner, policy.folder):
        problem = f"{policy.owner} may not use the script folder {policy.folder}: no script is run."
        return _none(scripts, problem)
    try:
        scripts.account = linux_accounts.script_account(policy.folder)
        scripts.identity = linux_accounts.to_become(scripts.account)
    except AccountError as error:
        return _none(scripts, str(error))
    for phase in names.PHASES:
        _take(scripts, storage.find(policy.folder, phase, policy.name, scripts.identity))
    if scripts.not_run.get("after", outcomes.MISSING) != outcomes.MISSING:
        problem = "before is not run, as after could not thaw what it freezes."
        if "before" in scripts.found:
            scripts.leave_out("before", outcomes.NOT_RUN, problem)
    if run.is_test:
        _only_tested(scripts, run)
    return scripts


def _none(scripts: Scripts, problem: str) -> Scripts:
    scripts.problems.append(problem)
    for phase in names.PHASES:
        scripts.leave_out(phase, outcomes.CRASHED)
    return scripts


def _take(scripts: Scripts, found: Found) -> None:
    if found.path is not None and not found.problem:
        scripts.found[found.phase] = found.path
    else:
        scripts.leave_out(found.phase, found.outcome or outcomes.CRASHED, found.problem)


def _only_tested(scripts: Scripts, run: Run) -> None:
    """Leave the phases out that the test did not ask for; before alone is always followed by after."""
    if not run.test_phase:
        return
    wanted = {"before", "after"} if run.test_phase == "before" else {run.test_phase}
    for phase in set(names.PHASES) - wanted:
        scripts.leave_out(phase, outcomes.NOT_RUN)
    if run.test_phase == "after" and run.test_argument == "1":
        scripts.not_run["before"] = outcomes.MISSING  # after's argument follows from it


def spool_record(run: Run, policy: Policy, scripts: Scripts, folder: Path) -> spool.Record:
    """Copy after and complete into the run's spool folder and return the record to write there."""
    timeouts = {
        "before": policy.before_timeout_seconds,
        "after": policy.after_timeout_seconds,
        "complete": policy.complete_timeout_seconds,
    }
    commands: dict[str, Command] = {}
    for phase, path in scripts.found.items():
        paths = [str(path)]
        if phase != "before":
            copy = folder / phase
            copy.unlink(missing_ok=True)
            storage.copy(scripts.folder, path, copy, scripts.identity)
            paths.append(str(copy))
        commands[phase] = Command(phase, tuple(paths), float(timeouts[phase]))
    return spool.Record(
        run=str(run.pk),
        boot=linux.boot_id(),
        folder=str(storage.path(scripts.folder)),
        environment=_environment(run, policy, scripts.account),
        max_freeze_seconds=float(policy.max_freeze_seconds),
        thaw_retry_seconds=policy.thaw_retry_minutes * 60.0,
        before=commands.get("before"),
        after=commands.get("after"),
        complete=commands.get("complete"),
        not_run=scripts.not_run,
        identity=scripts.identity,
        collect_output=policy.collect_output,
        masks=sealing.seal(run.account),
    )


def _environment(run: Run, policy: Policy, account: Account | None) -> Mapping[str, str]:
    """Return the whole environment of the scripts: nothing of the server's own is in it."""
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
