"""Two servers share the work: nothing stays frozen, nothing is done twice, and nothing that is said is untrue."""

from collections.abc import Iterator

import pytest

from tests.ground import processes
from tests.system.servers import judge, pair
from tests.system.servers.pair import Pair

pytestmark = [pytest.mark.real, pytest.mark.once, pytest.mark.timeout(600), pytest.mark.lasts(60)]
POLICIES = 8
GONE_SECONDS = 15


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    """Give two servers; the first takes the second for gone as soon as that is possible."""
    with pair.made(POLICIES, more={"N2W_SERVER_GONE_SECONDS": str(GONE_SECONDS)}) as made:
        yield made


@pytest.fixture(autouse=True)
def anew(both: Pair) -> None:
    both.forget()


def test_all_policies_due_at_once_succeed_on_two_servers(both: Pair) -> None:
    both.all_due()
    both.wait_for_ends(seconds=120)

    found = judge.judge(both)

    assert found.line == f"{POLICIES} succeeded; frozen 0, doubled 0, untrue 0", found


def test_kills_on_both_sides_are_survived_and_a_machine_without_power_thaws_when_it_is_back(
    both: Pair,
) -> None:
    both.scripts_last(2.0)
    both.all_due()
    processes.wait_until(
        lambda: both.of_other("frozen") > 0, seconds=90, what="a window on the other machine"
    )

    both.crash_other()
    both.servers[0].kill("n2wbackup worker freeze", "n2wbackup worker work")
    processes.wait_until(
        lambda: bool(both.is_other_gone() and both.told()), seconds=90, what="an alarm"
    )
    assert all(f"({both.other_id}) is gone" in title for title in both.told())
    both.start_other()
    both.cut_short(seconds=180)
    both.wait_for_ends(seconds=60)

    found = judge.judge(both)
    assert (found.frozen, found.doubled, found.untrue) == ([], [], []), found
    assert sum(found.ends.values()) == POLICIES
