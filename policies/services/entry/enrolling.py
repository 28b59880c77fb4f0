"""Tag enrolment at work: after each refresh, what bears a rule's tag joins the policy, and what lost it leaves.

It changes only targets that a rule enrolled, with the policy's row locked as each edit of the policy does. Whatever
leaves a policy is told by an alarm in the same transaction.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from n2wbackup.lib import clock, each
from policies.domain import enrolment
from policies.domain.alarms import messages
from policies.domain.alarms.messages import Message
from policies.domain.enrolment import Found, Plan, Rule, Target, What
from policies.models import Account, EnrolRule, InventoryItem, Policy, PolicyTarget
from policies.services import protection
from policies.services.alarms import raising
from policies.services.entry import rules as entered
from policies.services.entry import trail
from policies.services.window import permits
from scripts_admin.domain.audit import Action, Kind

# A run sends all its calls at the same moment, and AWS takes no more than this at once.
MOST_TARGETS = int(permits.BURST)
# What lost its tag leaves when a look so much later says so, too: AWS's answers may lag.
SECOND_LOOK = timedelta(minutes=4)

_WHAT = {
    InventoryItem.Kind.INSTANCE.value: What.INSTANCES,
    InventoryItem.Kind.VOLUME.value: What.VOLUMES,
}


def follow(account: Account, region: str) -> None:
    """Apply the account's rules to what the inventory has in the region; each policy by itself."""
    rules = EnrolRule.objects.filter(account=account).order_by("policy_id")
    policies = list(rules.values_list("policy_id", flat=True).distinct())
    if not policies:
        return
    found = _found(account, region)
    trouble = "the rules of policy %s could not be applied"
    each.apart(policies, lambda key: _follow(key, account, region, found), trouble)


def _found(account: Account, region: str) -> list[Found]:
    rows = InventoryItem.objects.filter(account=account, region=region, gone_at=None)
    columns = rows.values_list("resource_id", "kind", "tags", "missing_since")
    return [
        Found(key, _WHAT[kind], tags, sure=missing is None) for key, kind, tags, missing in columns
    ]


@transaction.atomic
def _follow(key: int, account: Account, region: str, found: list[Found]) -> bool:
    """Change the policy as its rules say; an edit of the policy comes before or after, never between."""
    policy = (
        Policy.objects.select_for_update(of=("self",))
        .select_related("owner")
        .filter(pk=key)
        .first()
    )
    if policy is None or policy.account_id != account.pk:
        return False
    rows = {row.pk: row for row in EnrolRule.objects.filter(account=account, policy=policy)}
    targets = {str(row): row for row in policy.targets.filter(region=region)}
    others = policy.targets.exclude(region=region).count()
    plan = enrolment.plan(
        [Rule(row.pk, What(row.what), row.tag, row.value) for row in rows.values()],
        found,
        [_target(row) for row in targets.values()],
        room=MOST_TARGETS - others - len(targets),
        others=others,
    )
    now = clock.now()
    change = _Change(policy, account, region, now, rows, targets)
    change.make(plan)
    if plan.leaves or plan.joins:
        protection.renew([policy.pk])
    return True


def _target(row: PolicyTarget) -> Target:
    since = row.untagged_since
    return Target(str(row), row.rule_id, since is not None and clock.now() - since >= SECOND_LOOK)


class _Change:
    """What one refresh changes in one policy; the caller holds the policy's lock."""

    def __init__(
        self,
        policy: Policy,
        account: Account,
        region: str,
        now: datetime,
        rules: dict[int, EnrolRule],
        targets: dict[str, PolicyTarget],
    ) -> None:
        self._policy, self._account, self._region = policy, account, region
        self._now, self._rules, self._targets = now, rules, targets

    def make(self, plan: Plan) -> None:
        self._doubt(plan)
        self._leave(plan.leaves)
        self._move(plan.moves)
        self._join(plan.joins)
        self._stay(plan.stays)
        self._count(plan.left_over)

    def _doubt(self, plan: Plan) -> None:
        doubted = [self._targets[one] for one in plan.doubts]
        self._rows([r for r in doubted if r.untagged_since is None]).update(
            untagged_since=self._now
        )
        trusted = [self._targets[one] for one in plan.trusts]
        changed = [row for row in trusted if row.untagged_since or row.stays_as_last]
        self._rows(changed).update(untagged_since=None, stays_as_last=False)

    @staticmethod
    def _rows(rows: list[PolicyTarget]) -> QuerySet[PolicyTarget]:
        return PolicyTarget.objects.filter(pk__in=[row.pk for row in rows])

    def _leave(self, leaves: list[str]) -> None:
        if not leaves:
            return
        rows = [self._targets[one] for one in leaves]
        self._rows(rows).delete()
        for row in rows:
            self._record(Action.LEFT, str(row), row.rule_id, removed=True)
        self._alarm(messages.left_policy(self._policy.label, [self._gone(row) for row in rows]))

    def _gone(self, row: PolicyTarget) -> str:
        rule = self._rules[row.rule_id or 0]
        return f"{row} in {self._region} does not bear the tag {rule.tag}={rule.value} any more, or is gone"

    def _move(self, moves: dict[str, int]) -> None:
        for one, rule in moves.items():
            self._rows([self._targets[one]]).update(rule=rule)

    def _join(self, joins: dict[str, int]) -> None:
        column = {What.INSTANCES: "instance_id", What.VOLUMES: "volume_id"}
        PolicyTarget.objects.bulk_create(
            PolicyTarget(
                policy=self._policy,
                region=self._region,
                rule=self._rules[rule],
                **{column[What(self._rules[rule].what)]: one},
            )
            for one, rule in joins.items()
        )
        for one, rule in joins.items():
            self._record(Action.ENROLLED, one, rule)

    def _stay(self, one: str) -> None:
        """Tell, once, that the last target stays without its tag."""
        if one and not self._targets[one].stays_as_last:
            row = self._targets[one]
            self._rows([row]).update(stays_as_last=True)
            self._alarm(messages.stays_as_last(self._policy.label, self._gone(row)))

    def _count(self, left_over: dict[int, int]) -> None:
        """Keep how many found no room, and tell it when the first do."""
        for key, count in left_over.items():
            rule = self._rules[key]
            before = rule.left_over.get(self._region, 0)
            if before == count:
                continue
            rule.left_over = {**rule.left_over, self._region: count}
            if not count:
                del rule.left_over[self._region]
            rule.save(update_fields=["left_over"])
            if not before:
                self._alarm(
                    messages.no_room(
                        self._policy.label, str(rule), self._region, count, MOST_TARGETS
                    )
                )

    def _record(
        self, action: Action, resource: str, rule: int | None, *, removed: bool = False
    ) -> None:
        said = self._rules.get(rule or 0)
        change = ("targets", resource, "") if removed else ("targets", "", resource)
        trail.enter(
            action,
            Kind.POLICY,
            self._policy.label,
            key=str(self._policy.pk),
            owner_id=self._policy.owner_id,
            name=f"the rule {said} of account {self._account.name}",
            changes=(change,),
            reason=entered.words(said) if said else "",
        )

    def _alarm(self, message: Message) -> None:
        raising.enrolment(self._policy, message, self._now)
