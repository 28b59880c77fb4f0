"""Rules of tag enrolment: which instances and volumes join a policy, and which leave it. Pure.

A target that a person entered is no rule's business. What does not bear a rule's tag leaves only when a second look
says so, too, as AWS's answers may lag behind a change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

TAG_CHARACTERS, VALUE_CHARACTERS = 128, 256


class What(StrEnum):
    """What a rule enrols."""

    INSTANCES = "instances"
    VOLUMES = "volumes"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, by its row's key."""

    key: int
    what: What
    tag: str
    value: str

    def takes(self, tags: Mapping[str, str]) -> bool:
        """Tell whether these are the tags that the rule looks for; AWS's tags differ in upper and lower case."""
        return tags.get(self.tag) == self.value

    def __str__(self) -> str:
        return f"{self.what} with tag {self.tag}={self.value}"


@dataclass(frozen=True, slots=True)
class Found:
    """An instance or a volume as the inventory has it; `sure` unless AWS's last listing lacked it."""

    resource_id: str
    what: What
    tags: Mapping[str, str]
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """A target in this region; `rule` None: a person entered it. `doubted`: an earlier look missed its tag."""

    resource_id: str
    rule: int | None
    doubted: bool = False


@dataclass(slots=True)
class Plan:
    """What changes: ids with the rule that they join, are kept by or leave."""

    joins: dict[str, int] = field(default_factory=dict)
    moves: dict[str, int] = field(default_factory=dict)  # another rule takes it now
    leaves: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    trusts: list[str] = field(default_factory=list)  # no doubt is left of them
    stays: str = ""  # it would leave, and is the policy's last target
    left_over: dict[int, int] = field(default_factory=dict)  # by rule: how many found no room


def plan(
    rules: Iterable[Rule],
    found: Iterable[Found],
    targets: Iterable[Target],
    *,
    room: int,
    others: int,
) -> Plan:
    """Return what the rules change in a policy's targets of one region.

    `room`: how many more targets the policy may have. `others`: how many it has elsewhere; with none, and none
    that a person entered, the last one stays.
    """
    rules, there = list(rules), {each.resource_id: each for each in found}
    present = list(targets)
    made = Plan(left_over={rule.key: 0 for rule in rules})
    for target in present:
        if target.rule in made.left_over:
            _judge(target, rules, there.get(target.resource_id), made)
    taken = {target.resource_id for target in present}
    room += len(made.leaves)
    for resource_id in sorted(there.keys() - taken):
        rule = _taker(rules, there[resource_id])
        if rule is None or not there[resource_id].sure:
            continue
        if room > 0:
            made.joins[resource_id] = rule.key
            room -= 1
        else:
            made.left_over[rule.key] += 1
    if made.leaves and not (made.joins or others or len(made.leaves) < len(present)):
        made.stays = made.leaves.pop(0)
    return made


def _judge(target: Target, rules: list[Rule], found: Found | None, made: Plan) -> None:
    if found is not None and not found.sure:
        return
    taker = None if found is None else _taker(rules, found, first=target.rule)
    if taker is None:
        gone = found is None  # the inventory has looked twice by itself
        (made.leaves if gone or target.doubted else made.doubts).append(target.resource_id)
        return
    if taker.key != target.rule:
        made.moves[target.resource_id] = taker.key
    made.trusts.append(target.resource_id)


def _taker(rules: list[Rule], found: Found, first: int | None = None) -> Rule | None:
    fitting = [rule for rule in rules if rule.what == found.what and rule.takes(found.tags)]
    own = [rule for rule in fitting if rule.key == first]
    return next(iter([*own, *fitting]), None)


def why_no_tag(tag: str, value: str) -> str:
    """Return why AWS has no such tag, as a sentence; "" if it can."""
    if not tag.strip() or len(tag) > TAG_CHARACTERS:
        return (
            f"A tag has a name of 1 to {TAG_CHARACTERS} characters: write the key as AWS shows it."
        )
    if len(value) > VALUE_CHARACTERS:
        return f"A tag's value has at most {VALUE_CHARACTERS} characters: shorten it."
    return ""
