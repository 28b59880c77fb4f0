"""Tags with the consistency of the snapshots: written after the thaw, from the rows, until AWS accepts them."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from n2wbackup.lib import each, outages
from n2wbackup.lib.cas import compare_and_set
from policies.adapters import session
from policies.domain.errors import BackupError, NotFoundError
from policies.domain.runs import sequence
from policies.domain.runs.verdict import Facts
from policies.models import PhaseResult, Run, RunSnapshot, RunTarget
from policies.ports import Cloud
from policies.selectors.runs import Worth, worth
from policies.services import runs
from policies.services.following.completing import Ended
from policies.services.window import credentials

log = logging.getLogger(__name__)


def tag(run_id: UUID, ended: Ended | None = None) -> bool:
    """Write the tags of the run's snapshots from the rows; False if AWS does not take them now.

    `ended` has the rows, if the caller has just ended the run. Tags that AWS does not take stay due. An error of ours
    would come each time: it is logged, told in the run's history, and these tags are not tried again.
    """
    try:
        return _tag(run_id) if ended is None else _write(ended.run, ended.judged)
    except outages.AWAY:
        raise
    except Exception as error:
        log.exception("the tags of run %s could not be written", run_id)
        _give_up(run_id, error)
    return True


def _give_up(run_id: UUID, error: Exception) -> None:
    run = Run.objects.filter(pk=run_id, tags_due=True).first()
    if run is not None and compare_and_set(
        Run.objects.filter(pk=run_id), {"tags_due": True}, tags_due=False
    ):
        named = outages.named(error)
        runs.record(
            run, f"the snapshots' tags could not be written ({named}): look at the server's log"
        )


def _tag(run_id: UUID) -> bool:
    run = (
        Run.objects.select_related("account")
        .defer("account__secret_access_key")
        .filter(pk=run_id, tags_due=True)
        .first()
    )
    return True if run is None else _write(run, worth(run))


def _write(run: Run, known: Worth) -> bool:
    if run.account is None:
        return True
    state = run.state
    try:
        cloud = session.cloud(credentials.of(run.account))
        common = _tags(run, known.facts)
        for (region, own), ids in _groups(run, known).items():
            _tag_group(cloud, region, ids, common | dict(own))
    except BackupError as error:
        log.warning(
            "the tags of run %s could not be written and are tried again: %s", run.pk, error
        )
        return False
    # If the run's state changed meanwhile, that change has marked the tags as due again.
    compare_and_set(Run.objects.filter(pk=run.pk), {"state": state}, tags_due=False)
    return True


def _tag_group(cloud: Cloud, region: str, ids: Sequence[str], tags: Mapping[str, str]) -> None:
    """Tag the snapshots; one that is gone does not prevent the tags of the others."""
    try:
        cloud.tag(region, ids, tags)
    except NotFoundError:
        if len(ids) == 1:
            log.info("snapshot %s is gone; its tags are not written", ids[0])
            return
        for one in ids:
            _tag_group(cloud, region, [one], tags)


def tag_due() -> None:
    """Write all tags that are due.

    After a refusal, the other runs of that account have to wait for the next turn: each call may wait for a timeout,
    and other owners' runs wait behind it. The order is by chance, so that no run stays behind one that is refused.
    """
    due = (
        Run.objects.filter(tags_due=True, account__isnull=False)
        .order_by("?")
        .values_list("pk", "account")
    )
    refused = set[int]()

    def one(row: tuple[UUID, int]) -> None:
        run_id, account = row
        if account not in refused and not tag(run_id):
            refused.add(account)

    each.apart(list(due), one, "the tags of run %s could not be written")


def _groups(run: Run, known: Worth) -> dict[tuple[str, tuple[tuple[str, str], ...]], list[str]]:
    """Return the snapshots that get the same tags, by region and by the tags that only some have."""
    on_instances = _on_instances(run, [target for target in known.targets if target.remote])
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = defaultdict(list)
    for target in known.targets:
        own = {"n2wbackup:consistency": target.consistency} | on_instances.get(target.pk, {})
        there = [one for one in known.made.get(target.pk, ()) if one.state != _MISSING]
        for one in there:
            groups[target.region, tuple(own.items())].append(one.snapshot_id)
    return groups


_MISSING = RunSnapshot.State.MISSING


def _on_instances(run: Run, targets: Sequence[RunTarget]) -> dict[int, dict[str, str]]:
    """Return what the scripts on the instances add to the tags, by target."""
    found = {
        target.pk: {"n2wbackup:thawed-by": target.thaw_by} if target.thaw_by else {}
        for target in targets
    }
    first = PhaseResult.remote.filter(run=run, attempt=1).order_by("pk") if found else None
    for key, phase, outcome in first.values_list("target", "phase", "outcome") if first else ():
        if key in found:
            found[key][f"n2wbackup:{phase}-on-instance"] = outcome
    return found


def _tags(run: Run, known: Facts) -> dict[str, str]:
    tags = {"n2wbackup:before": str(known.before), "n2wbackup:after": str(known.after)}
    if run.state in sequence.ENDS:
        tags |= {"n2wbackup:complete": known.complete, "n2wbackup:state": run.state}
    return tags
