"""Tags with the consistency of the snapshots: written after the thaw, from the rows, until AWS accepts them.

Equal tags of many runs are one call.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db.models import QuerySet

from n2wbackup.lib import compiled, outages
from n2wbackup.lib.cas import compare_and_set
from n2wbackup.lib.portions import portions
from policies.adapters import session
from policies.domain.errors import (
    AnswerLostError,
    BackupError,
    CredentialsError,
    NotFoundError,
    ThrottledError,
    UnreachableError,
)
from policies.domain.runs import sequence
from policies.domain.runs.verdict import Facts
from policies.models import Account, Run, RunSnapshot, RunTarget
from policies.ports import Cloud
from policies.selectors.worth import Worth, worth, worths
from policies.services import runs
from policies.services.following.completing import Ended
from policies.services.window import credentials

log = logging.getLogger(__name__)

TOGETHER = 50  # runs of one account
# Whoever else asks this account would hear the same.
_OF_THE_ACCOUNT = (CredentialsError, ThrottledError, UnreachableError, AnswerLostError)
_OF_A_RUN = (
    *("state", "thaw_by", "cancel_requested_at", "success_requires", "trigger", "test_phase"),
    *("tags_due", "account"),
)
_Tags = tuple[tuple[str, str], ...]


def tag(run_id: UUID) -> bool:
    """Write the tags of the run's snapshots from the rows; False if AWS does not take them now.

    Tags that AWS does not take stay due. An error of ours would come each time: it is logged, told in the run's
    history, and these tags are not tried again.
    """
    rows = Run.objects.filter(pk=run_id, tags_due=True, account__isnull=False)
    run = rows.select_related("account").defer("account__secret_access_key").first()
    return run is None or run.account is None or _tag(run.account, run)


def tag_ended(ended: Sequence[Ended]) -> None:
    """Write the tags of runs that have just ended, from the rows that they were judged by. What fails stays due."""
    of: dict[Account, dict[Run, Worth]] = defaultdict(dict)
    for run, judged in ended:
        if run.account is not None:
            of[run.account][run] = judged
    for account, known in of.items():
        try:
            _write(account, known)
        except outages.AWAY:
            raise
        except BackupError as error:
            log.warning("the tags of %s runs of %s are tried again: %s", len(known), account, error)
        except Exception:
            log.exception("the tags of %s runs of %s are tried again", len(known), account)


def tag_due() -> None:
    """Write all tags that are due.

    After a refusal, the other runs of that account have to wait for the next turn: each call may wait for a timeout,
    and other owners' runs wait behind it. The order is by chance, so that no run stays behind one that is refused.
    """
    of: dict[int, list[Run]] = defaultdict(list)
    for run in _due():
        of[run.account_id or 0].append(run)
    for key, account in credentials.accounts(of).items():
        taken = (_tag_some(account, some) for some in portions(of[key], TOGETHER))
        all(taken)  # until AWS refuses some


@compiled.Reading
def _due() -> QuerySet[Run]:
    rows = Run.objects.filter(tags_due=True, account__isnull=False)
    return rows.order_by("?").only(*_OF_A_RUN)


def _tag_some(account: Account, due: Sequence[Run]) -> bool:
    """Write the tags of some runs of an account; False if AWS does not take its tags now.

    What is refused, or meets an error, may be one run's: then each is tagged alone, until AWS refuses one.
    """
    if len(due) > 1:
        try:
            known = worths(due)
            _write(account, {run: known[run.pk] for run in due})
        except outages.AWAY:
            raise
        except _OF_THE_ACCOUNT as error:
            log.warning("the tags of %s are tried again: %s", account, error)
            return False
        except Exception as error:  # noqa: BLE001 - it comes again below, where it is told
            log.info("%s; the tags of %s runs are written one by one", error, len(due))
        else:
            return True
    return all(_tag(account, run) for run in due)


def _tag(account: Account, run: Run) -> bool:
    """Write the tags of one run, as `tag` does."""
    try:
        _write(account, {run: worth(run)})
    except outages.AWAY:
        raise
    except BackupError as error:
        log.warning("the tags of run %s are tried again: %s", run.pk, error)
        return False
    except Exception as error:
        log.exception("the tags of run %s could not be written", run.pk)
        _give_up(run, error)
    return True


def _give_up(run: Run, error: Exception) -> None:
    if compare_and_set(Run.objects.filter(pk=run.pk), {"tags_due": True}, tags_due=False):
        named = outages.named(error)
        runs.record(
            run, f"the snapshots' tags could not be written ({named}): look at the server's log"
        )


def _write(account: Account, known: Mapping[Run, Worth]) -> None:
    """Write the tags of the account's runs, equal ones together, and note that they are not due any more."""
    cloud = session.cloud(credentials.of(account))
    groups: dict[tuple[str, _Tags], list[str]] = defaultdict(list)
    for run, its in known.items():
        for same, ids in _groups(run, its).items():
            groups[same] += ids
    for (region, tags), ids in groups.items():
        _tag_group(cloud, region, ids, dict(tags))
    by_state: dict[str, list[UUID]] = defaultdict(list)
    for run in known:
        by_state[run.state].append(run.pk)
    for state, keys in by_state.items():
        # If a run's state changed meanwhile, that change has marked its tags as due again.
        Run.objects.filter(pk__in=keys, state=state).update(tags_due=False)


def _tag_group(cloud: Cloud, region: str, ids: Sequence[str], tags: Mapping[str, str]) -> None:
    """Tag the snapshots; one that is gone does not prevent the tags of the others."""
    try:
        cloud.tag(region, ids, tags)
    except NotFoundError:
        if len(ids) == 1:
            log.info("snapshot %s is gone; its tags are not written", ids[0])
            return
        half = len(ids) // 2
        for some in (ids[:half], ids[half:]):
            _tag_group(cloud, region, some, tags)


def _groups(run: Run, known: Worth) -> Mapping[tuple[str, _Tags], list[str]]:
    """Return the run's snapshots by region and tags."""
    common = _common(run, known.facts)
    groups: dict[tuple[str, _Tags], list[str]] = defaultdict(list)
    for target in known.targets:
        there = _there(target, known) if target.remote else {}
        tags = {**common, "n2wbackup:consistency": target.consistency, **there}
        for one in known.made.get(target.pk, ()):
            if one.state != RunSnapshot.State.MISSING:
                groups[target.region, tuple(tags.items())].append(one.snapshot_id)
    return groups


def _there(target: RunTarget, known: Worth) -> dict[str, str]:
    """Return what the scripts on an instance add to the tags of its snapshots."""
    tags = {"n2wbackup:thawed-by": target.thaw_by} if target.thaw_by else {}
    first = known.firsts.get(target.pk, {})
    return tags | {f"n2wbackup:{phase}-on-instance": said for phase, said in first.items()}


def _common(run: Run, known: Facts) -> dict[str, str]:
    """Return the tags of all snapshots of the run."""
    tags = {"n2wbackup:before": str(known.before), "n2wbackup:after": str(known.after)}
    if run.state in sequence.ENDS:
        tags |= {"n2wbackup:complete": str(known.complete), "n2wbackup:state": run.state}
    return tags
