"""Each fault at one moment; `make faults` strikes at all of them."""

import pytest

from tests.system.faults import bench, every
from tests.system.faults.judge import Finding
from tests.system.faults.table import Fault

pytestmark = [pytest.mark.real, pytest.mark.once, pytest.mark.timeout(1800), pytest.mark.lasts(500)]
AT_A_TIME = 5


@pytest.fixture(scope="module")
def findings(request: pytest.FixtureRequest) -> dict[str, Finding]:
    """Strike at the moments that were asked for, several at a time: most of a run is waiting."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    asked = {call.params["fault"].name for call in calls if call and "fault" in call.params}
    wanted = [(fault, fault.quick_moment) for fault in every.FAULTS if fault.name in asked]
    return {found.fault: found for found in bench.strike(wanted, AT_A_TIME)}


@pytest.mark.parametrize(
    "fault", [f for f in every.FAULTS if f.is_quick], ids=lambda fault: fault.name.replace(" ", "-")
)
def test_it_comes_through(fault: Fault, findings: dict[str, Finding]) -> None:
    if findings[fault.name].left_out:
        pytest.skip(findings[fault.name].left_out)
    assert findings[fault.name].wrong == []
