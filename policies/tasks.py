"""The Celery tasks. Each starts by claiming its row; a worker that loses the claim does nothing."""

import time
from uuid import UUID

from celery import shared_task

from n2wbackup.lib import each
from n2wbackup.processes import pool
from n2wbackup.processes.draining import draining
from policies.services.browsing import bringing, opening
from policies.services.copies import existence as copies_there
from policies.services.copies import keeping as copies_kept
from policies.services.copies import ticking as copying
from policies.services.costs import measuring
from policies.services.coverage import agents as ssm_agents
from policies.services.coverage import refreshing as inventory
from policies.services.due import hints, lateness, line, objectives, replanning, retrying, ticking
from policies.services.entry import hosts as entry_hosts
from policies.services.following import completing as complete_service
from policies.services.following import polling, reconciling, refreshing, tagging
from policies.services.proof import due as due_proofs
from policies.services.proof import telling as telling_of_proofs
from policies.services.proof import working as working_on_proofs
from policies.services.recovery import working as recoveries_working
from policies.services.retention import ages, cleaning, locking, sums
from policies.services.servers import turns
from policies.services.trials import monthly, working
from policies.services.window import keeping
from scripts_admin.services import approvals, hosts, ssh_files

TURNS = 10  # so often a worker tries to take a run that another process takes first
POLL_SECONDS = 5
COPIES_SECONDS = 10
CLEAN_COPIES_SECONDS = 300
MEASURE_SECONDS = 12 * 3600
RECONCILE_SECONDS = 12 * 3600
REFRESH_SECONDS = 60
LOOK_AT_SCRIPTS_SECONDS = 300
CLEAN_SECONDS = 60


@shared_task(name="policies.tasks.freeze")
def freeze(run_id: str) -> None:
    """Take a run through its window: this one, or while many wait, the one whose owner's turn it is."""
    hint = UUID(run_id)
    turn: UUID | None = line.next_for(hint) if pool.is_full() else hint
    for _ in range(TURNS):
        if turn is None or keeping.execute(turn, draining=draining):
            return
        # It was taken in the turn of another one, which still waits, and has no other hint than this.
        turn = None if draining() else line.another_than(turn)


@shared_task(name="policies.tasks.complete")
def complete(*run_ids: str) -> None:
    """Run the runs' completes, end the runs, and write their tags."""
    complete_service.execute_all([UUID(each) for each in run_ids], tagging.tag_ended)


@shared_task(name="policies.tasks.tick")
def tick() -> None:
    """Send unclaimed hints again, start the retries and runs that are due, and tell of late ones; it may take long."""
    each.turn(hints.resend, retrying.tick, ticking.tick, lateness.tick)


@shared_task(name="policies.tasks.host_key")
def host_key(host_id: str) -> None:
    """Ask a host of scripts for its SSH key."""
    hosts.fetch(UUID(host_id), entry_hosts.console)


@shared_task(name="policies.tasks.ssh")
def ssh() -> None:
    """Ask the hosts whose hints were lost, and write the SSH files of scripts that are missing or old."""
    each.turn(entry_hosts.tick, ssh_files.tick)


@shared_task(name="policies.tasks.trial")
def trial(trial_id: str) -> None:
    """Drill a policy's instances, or try to log in to them."""
    working.execute(UUID(trial_id))


@shared_task(name="policies.tasks.trials")
def trials() -> None:
    """Queue the monthly drills that are due, and send the hints of trials again that were lost."""
    each.turn(monthly.tick, working.tick)


@shared_task(name="policies.tasks.proof")
def proof(proof_id: str) -> None:
    """Prove a snapshot."""
    working_on_proofs.execute(UUID(proof_id))


@shared_task(name="policies.tasks.proofs")
def proofs() -> None:
    """Queue the proofs that are due, begin again those whose worker died, and write the tags of those that ended."""
    each.turn(working_on_proofs.tick, due_proofs.tick, telling_of_proofs.tick)


@shared_task(name="policies.tasks.recovery")
def recovery(recovery_id: str) -> None:
    """Go on with a recovery."""
    recoveries_working.execute(UUID(recovery_id))


@shared_task(name="policies.tasks.recoveries")
def recoveries() -> None:
    """Send workers to the recoveries that are due: queued, waiting for AWS, or left behind by a worker that died."""
    recoveries_working.tick()


@shared_task(name="policies.tasks.replan")
def replan() -> None:
    """Compute every policy's next due time again."""
    replanning.replan()


@shared_task(name="policies.tasks.reconcile")
def reconcile() -> None:
    """Compare AWS with the rows, and log the differences."""
    if turns.take("reconcile", RECONCILE_SECONDS):
        each.turn(reconciling.reconcile, copies_there.compare)


@shared_task(name="policies.tasks.refresh")
def refresh() -> None:
    """Ask AWS whether the newest restore points still exist, and reckon what nobody has reckoned yet."""
    if turns.take("refresh", REFRESH_SECONDS - 1):
        each.turn(objectives.tick, refreshing.tick)


@shared_task(name="policies.tasks.delete_old")
def delete_old() -> None:
    """Sum the days that are over, and delete the rows that are too old."""
    each.turn(sums.tick, ages.tick)


@shared_task(name="policies.tasks.clean")
def clean() -> None:
    """Announce and delete the restore points that the rules let go."""
    if turns.take("clean", CLEAN_SECONDS - 1):
        each.turn(locking.tick, cleaning.tick)


@shared_task(name="policies.tasks.look_at_scripts")
def look_at_scripts() -> None:
    """Keep what was changed in the script folders over SSH."""
    if turns.take("look_at_scripts", LOOK_AT_SCRIPTS_SECONDS - 1):
        approvals.tick()


@shared_task(name="policies.tasks.look")
def look() -> None:
    """Refresh the inventory of the accounts and regions that are due, and what SSM says of their instances."""
    each.turn(inventory.tick, ssm_agents.tick)


@shared_task(name="policies.tasks.copies")
def copies() -> None:
    """Copy snapshots to where the rules of their policies want them, and follow the copies."""
    if turns.take("copies", COPIES_SECONDS - 1):
        copying.tick(int(time.time()) // COPIES_SECONDS)


@shared_task(name="policies.tasks.clean_copies")
def clean_copies() -> None:
    """Delete the copies that the rules of their place let go."""
    if turns.take("clean_copies", CLEAN_COPIES_SECONDS - 1):
        copies_kept.tick()


@shared_task(name="policies.tasks.measure")
def measure() -> None:
    """Count how large the increments are, and estimate what each policy costs."""
    if turns.take("measure", MEASURE_SECONDS):
        measuring.tick()


@shared_task(name="policies.tasks.poll")
def poll() -> None:
    """Write the tags that are due, and follow pending snapshots."""
    if turns.take("poll", POLL_SECONDS - 1):  # beat may be a little early
        round_number = int(time.time()) // POLL_SECONDS
        # The tags first: what the thaw made of a run's snapshots is told before complete may end it.
        each.turn(tagging.tag_due, lambda: polling.poll(round_number))


@shared_task(name="policies.tasks.open_snapshot")
def open_snapshot(opened_id: str) -> None:
    """Open a snapshot whose files somebody wants to see, look after it, or close it."""
    opening.work(UUID(opened_id))


@shared_task(name="policies.tasks.bring_files")
def bring_files(brought_id: str) -> None:
    """Copy files of an opened snapshot to an instance."""
    bringing.work(UUID(brought_id))


@shared_task(name="policies.tasks.opened")
def opened() -> None:
    """Close snapshots that nobody looks at any more, and send the hints again that were lost."""
    each.turn(opening.tick, bringing.tick)
