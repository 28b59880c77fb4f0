"""A minute and a quarter of the soak, so that all is due twice; `make soak` takes thirty.

N2W_SOAK_SEED repeats the faults of an earlier one.
"""

import os
import random

import pytest

from tests.system.soak import report, soak

MINUTES = 1.25
VARIABLE = "N2W_SOAK_SEED"


@pytest.mark.real
@pytest.mark.once
@pytest.mark.timeout(1800)
@pytest.mark.lasts(200)
def test_many_policies_come_through_a_fault_every_ten_seconds() -> None:
    seed = int(os.environ.get(VARIABLE, random.SystemRandom().randrange(10**6)))

    soaked = soak.run(minutes=MINUTES, seed=seed, hurry=True)

    told = "\n".join(report.lines(soaked))
    assert soaked.wrong == [], f"{told}\nThe same faults again: {VARIABLE}={seed}"
