"""Test an account: ask AWS with DryRun for each permission that a backup needs. Nothing is changed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from n2wbackup.lib import home
from policies.adapters import session
from policies.domain.errors import (
    AwsError,
    BackupError,
    CredentialsError,
    NotPermittedError,
    RegionError,
    ThrottledError,
    UnreachableError,
)
from policies.models import Account, PolicyTarget
from policies.ports import Cloud, FireRequest
from policies.services.window import credentials

LISTING = ("DescribeInstances", "DescribeVolumes", "DescribeSnapshots")
TAGGING = "ec2:CreateTags"
DENIED = "AccessDenied"
# After one of these errors, AWS answers no other question in this region either.
_CLOSED = (CredentialsError, RegionError, UnreachableError, ThrottledError)


class Result(StrEnum):
    """The result of one question."""

    GRANTED = "granted"
    MISSING = "missing"
    FAILED = "failed"  # AWS said nothing about the permission; the sentence says why
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Answer:
    """One permission in one region; with a sentence unless it is granted."""

    permission: str
    region: str
    result: Result
    sentence: str = ""


@dataclass(slots=True)
class Probe:
    """All answers about an account, and the identity that AWS sees; empty if AWS did not say."""

    account: str
    auth: str
    external_id: str = ""
    aws_account_id: str = ""
    arn: str = ""
    answers: list[Answer] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """No permission is missing and no question failed; NOT_TRIED does not count."""
        return not any(each.result in {Result.MISSING, Result.FAILED} for each in self.answers)

    @property
    def problems(self) -> list[str]:
        """The sentences of the missing and failed ones, each only once."""
        bad = {Result.MISSING, Result.FAILED}
        return list(dict.fromkeys(a.sentence for a in self.answers if a.result in bad))


def probe(account: Account) -> Probe:
    """Ask AWS for all that backups with this account need, in each region that they use."""
    report = Probe(f"{account.owner}/{account.name}", account.auth, account.external_id)
    cloud = _enter(account, report)
    if cloud is not None:
        targets = list(PolicyTarget.objects.filter(policy__account=account).order_by("pk"))
        for region in dict.fromkeys([account.region, *sorted({t.region for t in targets})]):
            there = [target for target in targets if target.region == region]
            report.answers += _Region(cloud, region, there).answers()
    return report


def _enter(account: Account, report: Probe) -> Cloud | None:
    """Return the account's AWS, and write its identity into the report; None if there is no way in."""
    permission = "sts:AssumeRole" if account.auth == Account.Auth.ROLE else "sts:GetCallerIdentity"
    cloud, sentence = None, ""
    try:
        credentials.refuse_withdrawn(account)
        cloud = session.cloud(credentials.of(account))
        caller = cloud.caller(account.region)
        report.aws_account_id, report.arn = caller.aws_account_id, caller.arn
        result = Result.GRANTED
    except UnreachableError as error:
        # Only a role needs STS; the other kinds may still reach EC2.
        is_role = account.auth == Account.Auth.ROLE
        cloud = None if is_role else cloud
        result, sentence = (Result.FAILED if is_role else Result.NOT_TRIED), str(error)
    except BackupError as error:
        cloud = None
        is_denied = isinstance(error, AwsError) and error.code == DENIED
        result, sentence = (Result.MISSING if is_denied else Result.FAILED), str(error)
    report.answers.append(Answer(permission, account.region, result, sentence))
    return cloud


class _Region:
    """The questions in one region. After an error that closes the region, the rest are not tried."""

    def __init__(self, cloud: Cloud, region: str, targets: list[PolicyTarget]) -> None:
        self._cloud, self._region, self._targets = cloud, region, targets
        self._granted: set[str] = set()
        self._closed = False

    def answers(self) -> Iterator[Answer]:
        for action in LISTING:
            yield from self._ask(f"ec2:{action}", self._lists(action))
        yield from self._fires("ec2:CreateSnapshots", "instance")
        yield from self._fires("ec2:CreateSnapshot", "volume")
        yield from self._tags()

    def _lists(self, action: str) -> Callable[[], None]:
        return lambda: self._cloud.may_list(action, self._region)

    def _fires(self, permission: str, kind: str) -> Iterator[Answer]:
        named = [str(t) for t in self._targets if bool(t.instance_id) == (kind == "instance")]
        found, why = (named[0], "") if named else self._any(kind)
        if not found:
            yield self._not_tried(permission, why)
            return
        request = _request(self._region, kind, found)
        yield from self._ask(permission, lambda: self._cloud.prove(request))

    def _tags(self) -> Iterator[Answer]:
        """Setting tags later is a separate question, as IAM policies allow it under other conditions."""
        found, why = self._any("snapshot")
        if found:
            tags = {"n2wbackup:state": "test"}
            yield from self._ask(TAGGING, lambda: self._cloud.may_tag(self._region, found, tags))
        else:
            at_creation = " (tags at creation are permitted)" if TAGGING in self._granted else ""
            yield self._not_tried(TAGGING, f"{why}{at_creation}")

    def _any(self, kind: str) -> tuple[str, str]:
        """Return the id of a resource of this kind, or the reason why there is none to try it with."""
        listing = f"ec2:Describe{kind.capitalize()}s"
        if self._closed:
            return "", f"{self._region} does not answer"
        if listing not in self._granted:
            return "", f"without {listing} there is nothing to try it with"
        try:
            found = self._find(kind)
        except BackupError as error:
            return "", f"the search for something to try it with failed ({error})".replace(
                ".)", ")"
            )
        ours = "snapshot of this server" if kind == "snapshot" else kind
        return found, f"there is no {ours} in {self._region} to try it with"

    def _find(self, kind: str) -> str:
        if kind == "snapshot":
            return self._cloud.any_snapshot(self._region, home.server_id())
        if kind == "volume":
            return self._cloud.any_volume(self._region)
        return self._cloud.any_instance(self._region)

    def _ask(self, permission: str, ask: Callable[[], None]) -> Iterator[Answer]:
        if self._closed:
            yield self._not_tried(permission, f"{self._region} does not answer")
            return
        try:
            ask()
        except NotPermittedError as error:
            lacking = error.permission or permission
            yield Answer(lacking, self._region, Result.MISSING, str(error))
            if lacking != permission:
                yield self._not_tried(permission, f"AWS already refused {lacking}")
        except BackupError as error:
            self._closed = isinstance(error, _CLOSED)
            yield Answer(permission, self._region, Result.FAILED, str(error))
        else:
            self._granted.add(permission)
            if permission.startswith("ec2:CreateSnapshot"):
                self._granted.add(TAGGING)  # its request had tags
            yield Answer(permission, self._region, Result.GRANTED)

    def _not_tried(self, permission: str, why: str) -> Answer:
        sentence = f"{permission} in {self._region} was not tried: {why}."
        return Answer(permission, self._region, Result.NOT_TRIED, sentence)


def _request(region: str, kind: str, name: str) -> FireRequest:
    """Return the request of a backup, with tags, as IAM policies may require them."""
    tags = {
        "Name": "n2wbackup account test",
        "n2wbackup:server": home.server_id(),
        "n2wbackup:run": "test",
        "n2wbackup:consistency": "pending",
    }
    return FireRequest(
        region,
        tags,
        "n2wbackup account test",
        instance_id=name if kind == "instance" else "",
        volume_id=name if kind == "volume" else "",
    )
