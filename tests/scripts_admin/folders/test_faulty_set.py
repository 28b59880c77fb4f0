"""Lint finds each fault of a published set of scripts, and its advice leads to a set without one."""

import pytest

from scripts_admin.folders import linting
from tests.ground import faulty_mysql
from tests.ground.faulty_mysql import AFTER, BEFORE, COMPLETE, FAULTY, INNER

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        (
            BEFORE,
            {
                "mangled-address",
                "typographic",
                "placeholder",
                "password-argument",
                "lock-ends-with-client",
                "test-bracket",
                "syntax",
                "ssh-batch-mode",
                "ssh-timeout",
            },
        ),
        (
            AFTER,
            {
                "mangled-address",
                "placeholder",
                "password-argument",
                "unlocks-nothing",
                "ssh-batch-mode",
            },
        ),
        (COMPLETE, {"test-bracket", "mangled-address", "ssh-batch-mode", "temporary-name"}),
        (INNER, {"placeholder", "password-argument", "syntax"}),
    ],
)
def test_each_fault_gets_a_remark(name: str, codes: set[str]) -> None:
    assert codes <= {each.code for each in linting.of_text(name, FAULTY[name])}


def test_who_follows_the_advice_ends_with_a_set_without_a_fault() -> None:
    told = faulty_mysql.mended(linting.of_text)

    assert set(faulty_mysql.MENDS) <= told.codes
