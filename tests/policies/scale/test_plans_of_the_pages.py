"""Every page finds its rows by an index, as a superuser and as an owner see it."""

import logging

import pytest
from pytest_django import Settings

from tests.bench.history import looking
from tests.ground import plans

pytestmark = pytest.mark.django_db

# A page that counts, sorts or searches what people have entered reads all of it: ten thousand policies at most.
_POLICIES = {"policies_policy": "", "policies_policytarget": "", "policies_policy_schedules": ""}
WHOLE = {
    "/admin/policies/policy/": _POLICIES,
    "/admin/policies/run/": _POLICIES,
    "/policies/": _POLICIES,
    "/costs/": _POLICIES,
    "/schedules/": _POLICIES,
    # Alarms are few, as they are deleted after ninety days, and a label is found by a part of it.
    "/admin/policies/alarm/": {"policies_alarm": ""},
}


@pytest.mark.usefixtures("history")
def test_a_page_reads_no_table_that_grows(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["localhost"]
    logging.disable(logging.INFO)
    found = []
    try:
        for name, page in looking.pages().items():
            path = name.partition(" ")[2].partition("?")[0]
            found += [f"{name}: {one}" for one in plans.bad(page, WHOLE.get(path))]
    finally:
        logging.disable(logging.NOTSET)

    assert not found, "\n\n".join(found)
