"""Which instances and volumes join a policy by a rule, and which leave."""

from policies.domain import enrolment
from policies.domain.enrolment import Found, Plan, Rule, Target, What
from tests.ground.properties import given, st

SHOP = Rule(1, What.INSTANCES, "backup", "shop")
ALSO = Rule(2, What.INSTANCES, "tier", "gold")
DISKS = Rule(3, What.VOLUMES, "backup", "shop")
TAGGED, GOLD = {"backup": "shop"}, {"tier": "gold"}


def instance(key: str, tags: dict[str, str] | None = None, *, sure: bool = True) -> Found:
    return Found(key, What.INSTANCES, tags or {}, sure)


def plan(
    found: list[Found], targets: list[Target], *, rules: tuple[Rule, ...] = (SHOP,), room: int = 9
) -> Plan:
    return enrolment.plan(rules, found, targets, room=room, others=0)


def test_what_bears_the_tag_joins_and_nothing_else() -> None:
    found = [
        instance("i-1", TAGGED),
        instance("i-2", {"backup": "Shop"}),
        instance("i-3", {"Backup": "shop"}),
        Found("vol-1", What.VOLUMES, TAGGED),
        instance("i-4"),
    ]

    assert plan(found, []).joins == {"i-1": 1}
    assert plan(found, [], rules=(SHOP, DISKS)).joins == {"i-1": 1, "vol-1": 3}


def test_what_lost_its_tag_leaves_at_the_second_look() -> None:
    others = [Target("i-9", None)]

    first = plan([instance("i-1")], [Target("i-1", 1), *others])
    second = plan([instance("i-1")], [Target("i-1", 1, doubted=True), *others])

    assert (first.leaves, first.doubts) == ([], ["i-1"])
    assert (second.leaves, second.doubts) == (["i-1"], [])


def test_a_tag_that_is_seen_again_ends_the_doubt() -> None:
    made = plan([instance("i-1", TAGGED)], [Target("i-1", 1, doubted=True)])

    assert (made.leaves, made.doubts, made.trusts) == ([], [], ["i-1"])


def test_what_the_last_listing_lacked_neither_joins_nor_leaves() -> None:
    found = [instance("i-1", TAGGED, sure=False), instance("i-2", sure=False)]
    made = plan(found, [Target("i-2", 1, doubted=True), Target("i-9", None)])

    assert made == Plan(left_over={1: 0})


def test_what_is_gone_leaves() -> None:
    assert plan([], [Target("i-1", 1), Target("i-9", None)]).leaves == ["i-1"]


def test_what_another_rule_of_the_policy_takes_stays() -> None:
    made = plan([instance("i-1", GOLD)], [Target("i-1", 1)], rules=(SHOP, ALSO))

    assert (made.leaves, made.moves) == ([], {"i-1": 2})


def test_the_last_target_stays() -> None:
    made = plan([], [Target("i-1", 1), Target("i-2", 1)])

    assert (made.leaves, made.stays) == (["i-2"], "i-1")
    assert plan([instance("i-3", TAGGED)], [Target("i-1", 1)]).leaves == ["i-1"]
    assert enrolment.plan([SHOP], [], [Target("i-1", 1)], room=9, others=1).leaves == ["i-1"]


def test_what_finds_no_room_is_counted() -> None:
    found = [instance(f"i-{n}", TAGGED) for n in range(5)]

    made = plan(found, [], room=2)

    assert list(made.joins) == ["i-0", "i-1"]
    assert made.left_over == {1: 3}


KEYS = st.sampled_from([f"i-{n}" for n in range(6)])
TAGS = st.sampled_from([{}, TAGGED, GOLD, TAGGED | GOLD])
LOOKS = st.lists(st.dictionaries(KEYS, st.tuples(TAGS, st.booleans())), min_size=1, max_size=8)


@given(looks=LOOKS, by_hand=st.sets(KEYS, max_size=3), room=st.integers(0, 6))
def test_whatever_happens_to_tags_what_was_entered_by_hand_stays_and_no_policy_is_emptied(
    looks: list[dict[str, tuple[dict[str, str], bool]]], by_hand: set[str], room: int
) -> None:
    targets = {key: Target(key, None) for key in by_hand}
    for look in looks:
        found = [instance(key, tags, sure=sure) for key, (tags, sure) in look.items()]
        before = set(targets)
        made = enrolment.plan(
            [SHOP, ALSO], found, targets.values(), room=room - len(targets), others=0
        )
        for key in made.leaves:
            del targets[key]
        targets |= {key: Target(key, rule) for key, rule in (made.joins | made.moves).items()}
        targets |= {key: Target(key, targets[key].rule, doubted=True) for key in made.doubts}
        assert {key for key, target in targets.items() if target.rule is None} == by_hand
        assert targets or not before
        assert len(targets) <= max(room, len(before))
